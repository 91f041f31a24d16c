//! Records to events: settles the time, completes and checks fields, masks card numbers.

mod card;

use crate::event::{
    Event, EventId, FieldTable, FieldType, Fields, Key, RawRecord, Record, RecordFlags, SCHEMA,
    Timestamp, Value, ecs,
};
use crate::parse::ip_text;
use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;

/// The clock of a host that lost its time starts before this (1970, or 1980 as firmware and GPS
/// count): 1981-01-01T00:00:00Z.
const TIME_MIN: Timestamp = Timestamp::from_seconds(347_155_200);
/// A time further ahead of the time of reading is not believed.
const TIME_AHEAD_MAX: i64 = 86_400 * 1_000_000_000;

/// What normalizing counted; added to the pipeline's facts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NormalizeCounts {
    /// Records without a usable time.
    pub times_missing: u64,
    /// Card numbers masked.
    pub cards_masked: u64,
    /// Records with bytes that are not UTF-8.
    pub invalid_utf8: u64,
}

/// Makes the event of a record; `part` numbers the records of one raw record.
pub fn normalize<'a>(
    record: Record<'a>,
    raw: &RawRecord<'a>,
    part: u32,
    _names: &FieldTable,
    arena: &'a Bump,
    counts: &mut NormalizeCounts,
) -> Event<'a> {
    let believable =
        |time: &Timestamp| *time >= TIME_MIN && time.since(raw.received) <= TIME_AHEAD_MAX;
    let time = record.time.filter(believable).unwrap_or_else(|| {
        counts.times_missing += 1;
        raw.received
    });
    let mut fields = record.fields;
    let known = Known::of(&fields);
    complete(&mut fields, &known);
    if known.at(&fields, known.kind).is_none() {
        fields.push((Key::Id(ecs::EVENT_KIND), Value::Str("event")));
    }
    // A text that still lies in the batch was UTF-8; only a repaired copy lies elsewhere.
    let broken =
        record.original.as_ptr() != raw.bytes.as_ptr() && std::str::from_utf8(raw.bytes).is_err();
    counts.invalid_utf8 += u64::from(broken);
    place(&mut fields, raw, broken.then_some("invalid_utf8"), arena);
    let given = known.at(&fields, known.id).and_then(Value::as_str).filter(|id| !id.is_empty());
    let mut event = Event {
        part,
        id: match given {
            Some(id) => EventId::Given(id),
            None => EventId::Derived { stream: raw.stream, offset: raw.offset, part },
        },
        time,
        fields,
        message: record.message,
        original: record.original,
        parsed: record.parsed,
        repeat: record.repeat,
        attempt: record.attempt,
        logsource: record.logsource,
    };
    mask(&mut event, arena, counts);
    event
}

/// Where the fields stand that others are derived from.
#[derive(Default)]
struct Known {
    kind: Option<usize>,
    id: Option<usize>,
    host_name: Option<usize>,
    host_hostname: Option<usize>,
    source: Peer,
    destination: Peer,
}

#[derive(Default)]
struct Peer {
    address: Option<usize>,
    ip: Option<usize>,
    domain: Option<usize>,
}

impl Known {
    fn of(fields: &Fields<'_>) -> Self {
        let mut known = Self::default();
        for (at, (key, value)) in fields.iter().enumerate() {
            let Key::Id(id) = *key else { continue };
            if *value == Value::Null {
                continue;
            }
            let slot = match id {
                ecs::EVENT_KIND => &mut known.kind,
                ecs::EVENT_ID => &mut known.id,
                ecs::HOST_NAME => &mut known.host_name,
                ecs::HOST_HOSTNAME => &mut known.host_hostname,
                ecs::SOURCE_ADDRESS => &mut known.source.address,
                ecs::SOURCE_IP => &mut known.source.ip,
                ecs::SOURCE_DOMAIN => &mut known.source.domain,
                ecs::DESTINATION_ADDRESS => &mut known.destination.address,
                ecs::DESTINATION_IP => &mut known.destination.ip,
                ecs::DESTINATION_DOMAIN => &mut known.destination.domain,
                _ => continue,
            };
            slot.get_or_insert(at);
        }
        known
    }

    #[expect(clippy::unused_self, reason = "reads as a look into what is known")]
    fn at<'a>(&self, fields: &Fields<'a>, slot: Option<usize>) -> Option<Value<'a>> {
        slot.and_then(|at| fields.get(at)).map(|(_, value)| *value)
    }
}

fn complete(fields: &mut Fields<'_>, known: &Known) {
    match (known.host_name, known.host_hostname) {
        (Some(at), None) => copy(fields, at, ecs::HOST_HOSTNAME),
        (None, Some(at)) => copy(fields, at, ecs::HOST_NAME),
        _ => {}
    }
    let source = [ecs::SOURCE_ADDRESS, ecs::SOURCE_IP, ecs::SOURCE_DOMAIN];
    peer(fields, &known.source, source);
    let destination = [ecs::DESTINATION_ADDRESS, ecs::DESTINATION_IP, ecs::DESTINATION_DOMAIN];
    peer(fields, &known.destination, destination);
}

fn copy(fields: &mut Fields<'_>, at: usize, to: crate::event::FieldId) {
    if let Some((_, value)) = fields.get(at).copied() {
        fields.push((Key::Id(to), value));
    }
}

/// A peer has its address as written, and besides it an `ip` or else a `domain`.
fn peer(fields: &mut Fields<'_>, known: &Peer, names: [crate::event::FieldId; 3]) {
    let [address, ip, domain] = names;
    if let Some((_, Value::Str(text))) = known.ip.and_then(|at| fields.get(at)).copied() {
        if known.address.is_none() {
            fields.push((Key::Id(address), Value::Str(text)));
        }
        if let Some(plain) = ip_text(text)
            && plain.len() != text.len()
            && let Some((_, value)) = known.ip.and_then(|at| fields.get_mut(at))
        {
            *value = Value::Str(plain);
        }
        return;
    }
    let written = known.address.and_then(|at| fields.get(at)).copied();
    if let Some((_, Value::Str(text))) = written.filter(|_| known.ip.is_none()) {
        match ip_text(text) {
            Some(plain) => fields.push((Key::Id(ip), Value::Str(plain))),
            None if known.domain.is_none() => fields.push((Key::Id(domain), Value::Str(text))),
            None => {}
        }
    }
}

/// Where the record stood, and what was noticed about it there.
fn place<'a>(
    fields: &mut Fields<'a>,
    raw: &RawRecord<'a>,
    broken: Option<&'static str>,
    arena: &'a Bump,
) {
    if let Some(path) = raw.path {
        fields.push((Key::Id(ecs::LOG_FILE_PATH), Value::Str(path)));
    }
    if let Ok(offset) = i64::try_from(raw.offset) {
        fields.push((Key::Id(ecs::LOG_OFFSET), Value::Int(offset)));
    }
    if broken.is_none() && raw.flags == RecordFlags::NONE {
        return;
    }
    let truncated = raw.flags.contains(RecordFlags::TRUNCATED);
    let unterminated = raw.flags.contains(RecordFlags::UNTERMINATED);
    let noticed =
        [broken, truncated.then_some("truncated"), unterminated.then_some("unterminated")];
    let mut flags = ArenaVec::new_in(arena);
    flags.extend(noticed.into_iter().flatten().map(Value::Str));
    if !flags.is_empty() {
        fields.push((Key::Id(ecs::LOG_FLAGS), Value::List(flags.into_bump_slice())));
    }
    if truncated && let Ok(length) = i64::try_from(raw.full_length) {
        fields.push((Key::Id(ecs::TAIL_FULL_LENGTH), Value::Int(length)));
    }
}

/// Masks card numbers wherever a text of the event holds one.
///
/// Most texts are parts of the original: when that holds none, neither do they.
fn mask<'a>(event: &mut Event<'a>, arena: &'a Bump, counts: &mut NormalizeCounts) {
    let whole = event.original.as_bytes().as_ptr_range();
    let masked = card::mask(event.original, arena);
    if let Some((_, number)) = masked {
        counts.cards_masked += number;
    }
    let clean = |text: &str| {
        masked.is_none() && {
            let part = text.as_bytes().as_ptr_range();
            whole.start <= part.start && part.end <= whole.end
        }
    };
    if !clean(event.message)
        && let Some((text, _)) = card::mask(event.message, arena)
    {
        event.message = text;
    }
    let mut found = 0;
    for (key, value) in &mut event.fields {
        match *value {
            Value::Str(text) if text.len() < card::DIGITS_MIN || clean(text) => {}
            Value::Bool(_) | Value::Null => {}
            Value::Int(_) if is_number(*key) => {}
            other => {
                if let Some((new, number)) = mask_value(other, arena) {
                    *value = new;
                    found += number;
                }
            }
        }
    }
    if masked.is_none() {
        counts.cards_masked += found;
    }
    if let EventId::Given(id) = event.id
        && let Some((text, _)) = card::mask(id, arena)
    {
        event.id = EventId::Given(text);
    }
    if let Some((text, _)) = masked {
        event.original = text;
    }
}

/// Whether the schema has a number here, which is then no card's.
fn is_number(key: Key<'_>) -> bool {
    let Key::Id(id) = key else { return false };
    let row = SCHEMA.get(usize::from(id.0));
    row.is_some_and(|row| matches!(row.kind, FieldType::Long | FieldType::Float))
}

fn mask_value<'a>(value: Value<'a>, arena: &'a Bump) -> Option<(Value<'a>, u64)> {
    match value {
        Value::Str(text) => card::mask(text, arena).map(|(text, count)| (Value::Str(text), count)),
        Value::Int(number) if number >= card::NUMBER_MIN => {
            let text = bumpalo::format!(in arena, "{}", number).into_bump_str();
            card::mask(text, arena).map(|(text, count)| (Value::Str(text), count))
        }
        Value::List(items) => {
            let mut copy: Option<ArenaVec<'a, Value<'a>>> = None;
            let mut count = 0;
            for (at, item) in items.iter().enumerate() {
                let Some((masked, number)) = mask_value(*item, arena) else { continue };
                let copy = copy
                    .get_or_insert_with(|| ArenaVec::from_iter_in(items.iter().copied(), arena));
                if let Some(place) = copy.get_mut(at) {
                    *place = masked;
                }
                count += number;
            }
            copy.map(|copy| (Value::List(copy.into_bump_slice()), count))
        }
        Value::Map(entries) => {
            let mut copy: Option<ArenaVec<'a, (&'a str, Value<'a>)>> = None;
            let mut count = 0;
            for (at, (_, value)) in entries.iter().enumerate() {
                let Some((masked, number)) = mask_value(*value, arena) else { continue };
                let copy = copy
                    .get_or_insert_with(|| ArenaVec::from_iter_in(entries.iter().copied(), arena));
                if let Some(place) = copy.get_mut(at) {
                    place.1 = masked;
                }
                count += number;
            }
            copy.map(|copy| (Value::Map(copy.into_bump_slice()), count))
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => None,
    }
}

#[cfg(test)]
mod tests;
