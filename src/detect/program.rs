//! Rules compiled: predicates shared and numbered, conditions over their numbers, and for each
//! rule the predicates of which one must hold before the rule is looked at.
#![expect(clippy::indexing_slicing, reason = "predicate numbers are positions of its own tables")]

use crate::event::FieldId;
use crate::rule::pattern::Shape;
use crate::rule::predicate::{Expr, Predicate, Target, Test};
use std::collections::HashMap;

/// Number of a predicate.
pub(super) type PredId = u32;

/// A condition over predicates.
#[derive(Debug)]
pub(super) enum Cond {
    /// This predicate.
    Is(PredId),
    /// Every one of these predicates and conditions.
    And(Box<[PredId]>, Box<[Cond]>),
    /// One of these predicates or conditions.
    Or(Box<[PredId]>, Box<[Cond]>),
    /// Not that.
    Not(Box<Cond>),
}

/// Whether the index finds a predicate, or it is tested when a condition asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    Indexed,
    Lazy,
}

/// All predicates and conditions of a rule set.
#[derive(Debug, Default)]
pub(super) struct Program {
    pub predicates: Vec<Predicate>,
    pub plans: Vec<Plan>,
    /// The condition of each rule; `None` for correlations.
    pub conditions: Vec<Option<Cond>>,
    /// For each predicate the rules that are looked at once it holds.
    pub gates: Vec<Vec<u32>>,
    /// Rules that are looked at for every event.
    pub always: Vec<u32>,
    ids: HashMap<Predicate, PredId>,
}

impl Program {
    pub(super) fn new<'e>(exprs: impl Iterator<Item = Option<&'e Expr>>) -> Self {
        let mut program = Self::default();
        for expr in exprs {
            let condition = expr.map(|expr| program.condition(expr));
            program.conditions.push(condition);
        }
        program.choose_gates();
        program.ids = HashMap::new();
        program
    }

    fn condition(&mut self, expr: &Expr) -> Cond {
        match expr {
            Expr::Is(predicate) => Cond::Is(self.intern(predicate)),
            Expr::Named(_, inner) => self.condition(inner),
            Expr::Not(inner) => match self.condition(inner) {
                Cond::Not(twice) => *twice,
                once => Cond::Not(Box::new(once)),
            },
            Expr::And(parts) => {
                let (mut ids, mut others) = (Vec::new(), Vec::new());
                for part in parts {
                    match self.condition(part) {
                        Cond::Is(id) => ids.push(id),
                        Cond::And(more, conditions) => {
                            ids.extend(more);
                            others.extend(conditions);
                        }
                        other => others.push(other),
                    }
                }
                self.cheapest_first(&mut ids);
                Cond::And(ids.into(), others.into())
            }
            Expr::Or(parts) => {
                let (mut ids, mut others) = (Vec::new(), Vec::new());
                for part in parts {
                    match self.condition(part) {
                        Cond::Is(id) => ids.push(id),
                        Cond::Or(more, conditions) => {
                            ids.extend(more);
                            others.extend(conditions);
                        }
                        other => others.push(other),
                    }
                }
                self.cheapest_first(&mut ids);
                Cond::Or(ids.into(), others.into())
            }
        }
    }

    fn cheapest_first(&self, ids: &mut [PredId]) {
        ids.sort_by_key(|id| self.plans[*id as usize] == Plan::Lazy);
    }

    fn intern(&mut self, predicate: &Predicate) -> PredId {
        if let Some(id) = self.ids.get(predicate) {
            return *id;
        }
        let id = self.predicates.len() as PredId;
        self.predicates.push(predicate.clone());
        self.plans.push(plan(predicate));
        self.ids.insert(predicate.clone(), id);
        id
    }

    /// Finds for every rule the cheapest set of predicates of which one holds whenever the rule
    /// does. What only a lazy test can tell is gated by the presence of its field.
    fn choose_gates(&mut self) {
        let conditions = std::mem::take(&mut self.conditions);
        let mut shared = vec![0_u32; self.predicates.len()];
        for condition in conditions.iter().flatten() {
            count(condition, &mut shared);
        }
        for (rule, condition) in conditions.iter().enumerate() {
            let Some(condition) = condition else { continue };
            match self.witnesses(condition, &shared) {
                Some((mut ids, _)) => {
                    ids.sort_unstable();
                    ids.dedup();
                    self.gates.resize(self.predicates.len(), Vec::new());
                    for id in ids {
                        self.gates[id as usize].push(rule as u32);
                    }
                }
                None => self.always.push(rule as u32),
            }
        }
        self.gates.resize(self.predicates.len(), Vec::new());
        self.conditions = conditions;
    }

    fn witnesses(&mut self, condition: &Cond, shared: &[u32]) -> Option<(Vec<PredId>, f64)> {
        match condition {
            Cond::Is(id) => self.witness(*id, shared),
            Cond::Not(_) => None,
            Cond::And(ids, others) => {
                let mut best: Option<(Vec<PredId>, f64)> = None;
                let mut keep = |found: Option<(Vec<PredId>, f64)>| {
                    if let Some((set, cost)) = found
                        && best.as_ref().is_none_or(|(_, lowest)| cost < *lowest)
                    {
                        best = Some((set, cost));
                    }
                };
                for id in ids {
                    keep(self.witness(*id, shared));
                }
                for other in others {
                    keep(self.witnesses(other, shared));
                }
                best
            }
            Cond::Or(ids, others) => {
                let (mut all, mut total) = (Vec::new(), 0.0);
                for id in ids {
                    let (set, cost) = self.witness(*id, shared)?;
                    all.extend(set);
                    total += cost;
                }
                for other in others {
                    let (set, cost) = self.witnesses(other, shared)?;
                    all.extend(set);
                    total += cost;
                }
                Some((all, total))
            }
        }
    }

    fn witness(&mut self, id: PredId, shared: &[u32]) -> Option<(Vec<PredId>, f64)> {
        let predicate = &self.predicates[id as usize];
        if self.plans[id as usize] == Plan::Indexed {
            let users = shared.get(id as usize).copied().unwrap_or(1);
            return Some((vec![id], expected_hits(predicate) * (1.0 + f64::from(users) / 8.0)));
        }
        match (&predicate.test, predicate.target) {
            // These hold for a field that is missing.
            (Test::Null, _) | (_, Target::Anywhere) => None,
            // The time of the event is always there.
            (Test::Time(..), Target::Field(crate::event::ecs::AT_TIMESTAMP)) => None,
            (_, Target::Field(field)) => {
                let present = self.intern(&present(field));
                Some((vec![present], expected_hits(&self.predicates[present as usize])))
            }
        }
    }
}

fn present(field: FieldId) -> Predicate {
    Predicate { target: Target::Field(field), test: Test::Exists }
}

fn count(condition: &Cond, shared: &mut [u32]) {
    match condition {
        Cond::Is(id) => shared[*id as usize] += 1,
        Cond::Not(inner) => count(inner, shared),
        Cond::And(ids, others) | Cond::Or(ids, others) => {
            for id in ids {
                shared[*id as usize] += 1;
            }
            for other in others {
                count(other, shared);
            }
        }
    }
}

fn plan(predicate: &Predicate) -> Plan {
    match &predicate.test {
        Test::Exists => Plan::Indexed,
        Test::Text(Shape::AnyText, _) if predicate.target == Target::Anywhere => Plan::Lazy,
        Test::Text(Shape::AnyText, _) => Plan::Indexed,
        Test::Text(Shape::Exact(_), _) if predicate.target != Target::Anywhere => Plan::Indexed,
        Test::Text(shape, _) => match shape.needle() {
            Some(needle) if !needle.is_empty() => Plan::Indexed,
            _ => Plan::Lazy,
        },
        Test::Null
        | Test::Regex(_)
        | Test::Cidr(_)
        | Test::Number(..)
        | Test::Time(..)
        | Test::SameAs(..) => Plan::Lazy,
    }
}

/// How many of a thousand events of its kind a predicate is expected to hold for: longer and
/// stricter is rarer.
fn expected_hits(predicate: &Predicate) -> f64 {
    let Test::Text(shape, _) = &predicate.test else { return 800.0 };
    let length = shape.needle().map_or(0, str::len) as i32;
    let by_length = 400.0 * 0.6_f64.powi(length.min(24));
    match shape {
        Shape::AnyText => 800.0,
        Shape::Exact(text) if text.len() <= 5 => 20.0,
        Shape::Exact(_) => 2.0,
        Shape::Suffix(_) | Shape::Prefix(_) => 1.0 + by_length / 2.0,
        Shape::Contains(_) | Shape::Glob(_) => 0.5 + by_length,
    }
}
