use super::*;
use crate::event::ecs;
use crate::finding::{AlertType, Level};

fn load(text: &str) -> (Ruleset, Vec<String>) {
    let mut names = FieldTable::default();
    let (rules, problems) = Ruleset::load(&[SourceText::new("r.yml", text)], &mut names);
    let shown = problems.iter().map(|problem| {
        let hint = problem.hint.as_deref().map_or(String::new(), |hint| format!(" ({hint})"));
        let place = problem.place;
        format!("{}:{} {:?} {}{hint}", place.line, place.column, problem.weight, problem.message)
    });
    (rules, shown.collect())
}

/// A rule with this selection and condition.
fn rule(selection: &str, condition: &str) -> String {
    format!(
        "title: t\nlogsource: {{product: linux}}\ndetection:\n  s: {selection}\n  condition: {condition}\n"
    )
}

#[test]
fn what_must_be_refused_is_refused_with_its_place() {
    for (selection, condition, wanted) in [
        ("{f|wibble: a}", "s", "4:7 Error unknown modifier `wibble`"),
        ("{f|contain: a}", "s", "4:7 Error unknown modifier `contain` (did you mean `contains`?)"),
        (
            "{f|re: 'a('}",
            "s",
            "4:13 Error not a regular expression that can be run: unclosed group",
        ),
        (
            "{f|re: '(?=a)b'}",
            "s",
            "4:13 Error not a regular expression that can be run: look-around",
        ),
        ("{f|cidr: 10.0.0.0/33}", "s", "4:15 Error `10.0.0.0/33` is not a network"),
        ("{f|gt: abc}", "s", "4:13 Error a comparison expects a number, found `abc`"),
        ("{f|exists: maybe}", "s", "4:17 Error `exists` expects `true` or `false`"),
        ("{f|base64: 'a*b'}", "s", "4:17 Error a value with wildcards cannot be encoded"),
        (
            "{f|contains|expand: 'x%name%'}",
            "s",
            "4:26 Error no values are known for the placeholder `%name%`",
        ),
        ("{f|i: x}", "s", "4:7 Error the modifier `i` cannot be combined with"),
        ("{f|cidr|contains: x}", "s", "4:7 Error these modifiers cannot be combined"),
        ("{}", "s", "4:6 Error the selection `s` is empty"),
        ("{f: []}", "s", "4:10 Error `f` has no values"),
        ("{f: a}", "s and x", "5:20 Error unknown search identifier `x`"),
        ("{f: a}", "s | count() > 5", "5:16 Error the aggregation"),
    ] {
        let (rules, problems) = load(&rule(selection, condition));
        assert_eq!(rules.heads().count(), 0, "{selection}");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(wanted), "{wanted}\n{}", problems[0]);
    }
}

#[test]
fn one_bad_rule_does_not_hide_the_others() {
    let text = format!(
        "{}---\ntitle: x\n---\n- a\n---\n~\n---\n{}",
        rule("{f: a}", "s"),
        rule("{f: a}", "s").replace("title: t", "title: u\nlevle: high")
    );
    let (rules, problems) = load(&text);
    assert_eq!(rules.heads().map(|head| &*head.title).collect::<Vec<_>>(), ["t", "u"]);
    assert_eq!(
        problems,
        [
            "7:1 Error the rule has no `logsource`",
            "7:1 Error the rule has no `detection`",
            "9:1 Error expected a rule as a mapping, found a list",
            "14:1 Warning unknown key `levle` has no effect (did you mean `level`?)",
        ]
    );
}

#[test]
fn doubled_ids_and_missing_references_are_refused() {
    let base =
        "title: a\nid: same\nname: base\nlogsource: {}\ndetection: {s: {f: 1}, condition: s}\n";
    let correlation = |id: &str, rules: &str| {
        format!(
            "---\ntitle: c\nid: {id}\ncorrelation: {{type: event_count, rules: [{rules}], timespan: 5m, condition: {{gte: 2}}}}\n"
        )
    };
    let text = format!(
        "{base}---\n{base}{}{}{}{}",
        correlation("c1", "base"),
        correlation("c2", "nobody"),
        correlation("c3", "c2"),
        correlation("c4", "c4"),
    );
    let (rules, problems) = load(&text);
    let ids: Vec<(&str, bool)> = rules.rules().iter().map(|r| (&*r.head.id, r.alerts)).collect();
    assert_eq!(ids, [("same", false), ("c1", true)]);
    let wanted = [
        "the id `same` is taken by r.yml:1",
        "unknown rule `nobody`",
        "unknown rule `c2`",
        "`c4` leads back to this correlation",
    ];
    assert_eq!(problems.len(), wanted.len(), "{problems:?}");
    for (problem, wanted) in problems.iter().zip(wanted) {
        assert!(problem.contains(wanted), "{problem}");
    }
}

#[test]
fn correlations_say_what_is_wrong_with_them() {
    for (body, wanted) in [
        (
            "{type: event_cuont, rules: [a], timespan: 5m, condition: {gte: 1}}",
            "unknown correlation type `event_cuont` (did you mean `event_count`?)",
        ),
        (
            "{type: event_count, rules: [a], timespan: 5 m, condition: {gte: 1}}",
            "`5 m` is not a span of time",
        ),
        (
            "{type: event_count, rules: [a], timespan: 0s, condition: {gte: 1}}",
            "`0s` is not a span of time",
        ),
        (
            "{type: event_count, rules: [a], condition: {gte: 1}}",
            "the correlation has no `timespan`",
        ),
        ("{type: event_count, rules: [a], timespan: 5m}", "the correlation has no `condition`"),
        (
            "{type: event_count, rules: [a], timespan: 5m, condition: {gte: x}}",
            "`gte` expects a number",
        ),
        (
            "{type: value_count, rules: [a], timespan: 5m, condition: {gte: 2}}",
            "the condition names no `field`",
        ),
        (
            "{type: temporal_ordered, rules: [a, b], timespan: 5m, condition: {gte: 1}}",
            "only supported for all of its rules",
        ),
        (
            "{type: event_count, rules: [a], timespan: 5m, condition: {gte: 5, lt: 3}}",
            "no number of events can satisfy this condition",
        ),
        (
            "{type: event_count, rules: [a], timespan: 5m, condition: {lt: 3}}",
            "a single event satisfies this condition",
        ),
        (
            "{type: event_count, rules: [a], timespan: 5m, condition: {lt: 0}}",
            "no number of events can satisfy this condition",
        ),
    ] {
        let text = format!(
            "title: a\nname: a\nlogsource: {{}}\ndetection: {{s: {{f: 1}}, condition: s}}\n---\ntitle: b\nname: b\nlogsource: {{}}\ndetection: {{s: {{f: 1}}, condition: s}}\n---\ntitle: c\ncorrelation: {body}\n"
        );
        let (_, problems) = load(&text);
        assert_eq!(problems.len(), 1, "{body} {problems:?}");
        assert!(problems[0].contains(wanted), "{}", problems[0]);
    }
}

#[test]
fn filters_are_added_and_told_when_they_do_nothing() {
    let text = format!(
        "{}---\ntitle: f1\nlogsource: {{product: linux}}\nfilter: {{rules: [t], selection: {{u: x}}, condition: not selection}}\n---\ntitle: f2\nlogsource: {{product: windows}}\nfilter: {{rules: any, selection: {{u: x}}, condition: selection}}\n",
        rule("{f: a}", "s")
    );
    let (rules, problems) = load(&text);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("keeps only what it names"));
    assert!(problems[1].contains("applies to no rule"));
    let mut shown = String::new();
    let mut names = FieldTable::default();
    names.intern("f");
    names.intern("u");
    rules.rules()[0].expr().unwrap().describe(&names, &mut shown);
    assert_eq!(shown, "and(f: \"a\";not(u: \"x\";);)");
}

#[test]
fn heads_take_level_and_type_from_the_rule_or_its_tags() {
    for (more, level, alert_type) in [
        ("", Level::Medium, AlertType::UnusualActivity),
        ("level: LOW\n", Level::Low, AlertType::UnusualActivity),
        (
            "tags: [attack.credential-access, attack.t1110.001]\n",
            Level::Medium,
            AlertType::BruteForce,
        ),
        ("tags: [attack.privilege_escalation]\n", Level::Medium, AlertType::PermissionViolation),
        ("tripline: {alert_type: SYSTEM_INTRUSION}\n", Level::Critical, AlertType::SystemIntrusion),
        (
            "level: low\ntripline: {alert_type: SYSTEM_INTRUSION}\n",
            Level::Low,
            AlertType::SystemIntrusion,
        ),
    ] {
        let (rules, problems) = load(&(rule("{f: a}", "s") + more));
        assert_eq!(problems, [] as [String; 0]);
        let head = rules.heads().next().unwrap();
        assert_eq!((head.level, head.alert_type), (level, alert_type), "{more}");
    }
    for (more, wanted) in [
        ("level: hihg\n", "unknown level `hihg`"),
        ("tripline: {alert_type: NOPE}\n", "unknown alert type `NOPE`"),
        (
            "tripline: {group_by: [a]}\n",
            "unknown tripline key `group_by` (did you mean `group-by`?)",
        ),
    ] {
        let (rules, problems) = load(&(rule("{f: a}", "s") + more));
        assert_eq!(rules.heads().count(), 0);
        assert!(problems[0].contains(wanted), "{problems:?}");
    }
}

#[test]
fn contradictions_are_told() {
    let text = rule("{event.action: a}\n  z: {event.action: b}", "all of them");
    let (_, problems) = load(&text);
    assert!(problems[0].contains("can never fire"), "{problems:?}");
    let (_, problems) = load(&text.replace("all of", "1 of"));
    assert_eq!(problems, [] as [String; 0]);
    let (_, problems) = load(&rule("{'event.action|all': [a, b]}", "s"));
    assert!(problems[0].contains("can never fire: one value cannot be both `a` and `b`"));
    let (_, problems) = load(&rule("{'event.category|all': [a, b]}", "s"));
    assert!(problems.is_empty(), "a list-valued field can be both: {problems:?}");
}

#[test]
fn fields_are_told_with_place_and_source_and_tests_are_kept() {
    let text = rule("{source.ip: 1.2.3.4}", "s") + "tests: [{match: true}]\n";
    let (rules, problems) = load(&text);
    assert_eq!(problems, [] as [String; 0]);
    let uses: Vec<_> = rules
        .field_uses()
        .map(|u| (u.field, u.place.line, u.place.column, u.logsource.product))
        .collect();
    assert_eq!(uses, [(ecs::SOURCE_IP, 4, 7, Some("linux"))]);
    let (_, tests) = rules.tests().next().unwrap();
    assert_eq!(tests.node.items().len(), 1);
}

#[test]
fn a_fingerprint_is_of_the_meaning() {
    let text = |threshold: u32, title: &str| {
        format!(
            "title: a\nname: a\nlogsource: {{}}\ndetection: {{s: {{f: 1}}, condition: s}}\n---\ntitle: {title}\nid: c\ncorrelation: {{type: event_count, rules: [a], timespan: 5m, condition: {{gte: {threshold}}}}}\n"
        )
    };
    let of = |text: &str| load(text).0.rules()[1].fingerprint;
    let base = of(&text(3, "x"));
    assert_eq!(of(&text(3, "y")), base);
    assert_ne!(of(&text(4, "x")), base);
    assert_ne!(of(&text(3, "x").replace("f: 1", "f: 2")), base);
}
