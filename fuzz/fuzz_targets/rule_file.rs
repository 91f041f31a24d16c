//! No rule file, however broken, stops the loader: it gives rules or problems with their place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tripline::detect::Detector;
use tripline::diagnostic::SourceText;
use tripline::event::FieldTable;
use tripline::rule::Ruleset;

fuzz_target!(|text: &str| {
    let source = SourceText::new("fuzz.yml", text);
    let (rules, problems) = Ruleset::load(&[source], &mut FieldTable::default());
    for problem in &problems {
        assert!(!problem.to_string().is_empty());
    }
    Detector::new(&rules);
});
