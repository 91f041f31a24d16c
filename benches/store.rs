//! What a commit and a claim cost. `cargo bench --bench store`; figures are medians.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tripline::clock::monotonic;
use tripline::event::Timestamp;
use tripline::finding::{IncidentId, NoticeKind, StateChange};
use tripline::store::{
    ClaimRequest, NewDelivery, OpenOptions, Reader, Settlement, Store, StoreError,
};

fn main() -> Result<(), StoreError> {
    let folder = std::env::temp_dir().join(format!("tripline-bench-{}", std::process::id()));
    let mut store = Store::open(&folder, &OpenOptions::default())?;
    for (changes, rounds) in [(1, 500), (100, 200), (10_000, 15)] {
        for value_bytes in [40, 400] {
            let time = median(rounds, |round| save(&mut store, round, changes, value_bytes))?;
            println!("commit of {changes} states of {value_bytes} bytes: {time:?}");
        }
    }
    for backlog in [1_000, 100_000] {
        enqueue(&mut store, backlog)?;
        let time = median(500, |_| deliver(&mut store))?;
        println!("claim and settle, backlog of {backlog}: {time:?}");
    }
    report(&mut store, &folder)?;
    drop(store);
    let time = median(5, |_| Store::open(&folder, &OpenOptions::default()).map(drop))?;
    println!("open with quick check: {time:?}");
    remove(&folder)
}

fn median(
    rounds: usize,
    mut work: impl FnMut(usize) -> Result<(), StoreError>,
) -> Result<Duration, StoreError> {
    let mut times = Vec::with_capacity(rounds);
    for round in 0..rounds {
        let start = monotonic();
        work(round)?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(rounds / 2).copied().unwrap_or_default())
}

/// Keys as detection makes them: spread over the whole table.
fn save(
    store: &mut Store,
    round: usize,
    changes: u64,
    value_bytes: usize,
) -> Result<(), StoreError> {
    let states: Vec<StateChange> = (0..changes)
        .map(|number| {
            let key = (number % 25_000).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            let value = vec![round as u8; value_bytes];
            StateChange { kind: "window", key: key.into(), value: Some(value.into()) }
        })
        .collect();
    store.transaction(|commit| {
        commit.position("auth", "f1", Some("{\"offset\":1}"))?;
        commit.states(&states)
    })
}

fn enqueue(store: &mut Store, count: u32) -> Result<(), StoreError> {
    let payload = "x".repeat(2_000);
    store.transaction(|commit| {
        for number in 0..count {
            let incident = IncidentId(format!("inc-{count}-{}", number / 2).into());
            let id = format!("{incident}-{number}");
            commit.enqueue(&NewDelivery {
                sink: "soc",
                id: &id,
                incident: &incident,
                kind: NoticeKind::Opened,
                revision: number,
                payload: &payload,
                time: Timestamp::from_seconds(0),
                suppressed: None,
            })?;
        }
        Ok(())
    })
}

fn deliver(store: &mut Store) -> Result<(), StoreError> {
    let now = Timestamp::from_seconds(1);
    let lease = Duration::from_secs(40);
    let request = ClaimRequest { sink: "soc", now, lease, boot: "bench" };
    if let Some(claimed) = store.claim(&request)? {
        store.settle(claimed.ticket, &Settlement::Done, now)?;
    }
    Ok(())
}

fn report(store: &mut Store, folder: &Path) -> Result<(), StoreError> {
    let reader = Reader::open(folder)?;
    let time = median(20, |_| reader.counts().map(drop))?;
    println!("counts of the status page: {time:?}");
    println!("size: {} bytes", reader.counts()?.store_bytes);
    drop(reader);
    store.checkpoint().map(drop)
}

fn remove(folder: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Folder { path: PathBuf::from(folder), source };
    fs::remove_dir_all(folder).map_err(failed)
}
