//! Cases that can never match, because an earlier one takes all their lines.

use super::{Body, Case};
use crate::yaml::Problems;

/// Reports every case that an earlier one shadows, as far as their texts show it.
pub(super) fn report(cases: &[Case], problems: &mut Problems) {
    for (number, case) in cases.iter().enumerate() {
        let earlier = cases.iter().take(number).find(|earlier| shadows(earlier, case));
        if let Some(earlier) = earlier {
            problems.error_hint(
                case.place,
                format!("the case `{}` can never match: `{}` takes its lines", case.id, earlier.id),
                "put the more special case first, or remove one",
            );
        }
    }
}

fn shadows(earlier: &Case, later: &Case) -> bool {
    match (&earlier.body, &later.body) {
        (Body::Regex { regex: first, .. }, Body::Regex { regex: second, .. }) => {
            first.as_str() == second.as_str()
        }
        (Body::Pattern(pattern), _) if pattern.takes_all() => {
            !pattern.head().is_empty() && later.head().starts_with(pattern.head())
        }
        (Body::Pattern(first), Body::Pattern(second)) => {
            let literal = first.is_literal() && second.is_literal();
            (literal && first.head() == second.head())
                || (!literal && same_shape(&first.segments, &second.segments))
        }
        _ => false,
    }
}

use super::super::pattern::Segment;

/// Whether two patterns take the same texts, whatever fields they fill.
fn same_shape(first: &[Segment], second: &[Segment]) -> bool {
    first.len() == second.len()
        && first.iter().zip(second).all(|pair| match pair {
            (Segment::Text(a), Segment::Text(b)) => a.text == b.text,
            (Segment::Hole(a, _), Segment::Hole(b, _)) => a == b,
            (Segment::Until(a, _), Segment::Until(b, _)) => a.text == b.text,
            (Segment::Rest(_), Segment::Rest(_)) | (Segment::Pairs(_), Segment::Pairs(_)) => true,
            (Segment::Optional { body: a, .. }, Segment::Optional { body: b, .. }) => {
                same_shape(a, b)
            }
            (Segment::Choice { texts: a, .. }, Segment::Choice { texts: b, .. }) => a == b,
            _ => false,
        })
}
