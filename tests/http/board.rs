//! docs/grafana.json conforms to Grafana's dashboard schema (schema version 39), and its queries are PromQL.
//!
//! These tables contain what Grafana's published JSON schemas require for the parts that the dashboard uses. Grafana
//! silently drops unknown keys, so an unknown key is a fault.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

/// The required type of a value.
enum Is {
    Text,
    Number,
    Yes,
    One(&'static [&'static str]),
    List(&'static Is),
    /// Required and optional keys.
    Table(&'static [(&'static str, Is)], &'static [(&'static str, Is)]),
    Any,
}

use Is::{Any, List, Number, One, Table, Text, Yes};

const SOURCE: Is = Table(&[("type", One(&["prometheus"])), ("uid", One(&["${datasource}"]))], &[]);
const PLACE: Is = Table(&[("x", Number), ("y", Number), ("w", Number), ("h", Number)], &[]);
const TARGET: Is = Table(
    &[("refId", Text), ("expr", Text), ("datasource", SOURCE)],
    &[
        ("legendFormat", Text),
        ("instant", Yes),
        ("range", Yes),
        ("format", One(&["time_series", "table", "heatmap"])),
    ],
);
const STEP: Is = Table(&[("color", Text), ("value", Any)], &[]);
const FIELD: Is = Table(
    &[("unit", One(&["short", "percentunit", "cps", "reqps", "s"]))],
    &[
        ("min", Number),
        ("max", Number),
        ("decimals", Number),
        (
            "thresholds",
            Table(
                &[("mode", One(&["absolute", "percentage"])), ("steps", List(&STEP))],
                &[],
            ),
        ),
        (
            "custom",
            Table(
                &[],
                &[
                    ("lineWidth", Number),
                    ("fillOpacity", Number),
                    ("showPoints", One(&["auto", "never", "always"])),
                    (
                        "stacking",
                        Table(&[("mode", One(&["none", "normal", "percent"])), ("group", Text)], &[]),
                    ),
                ],
            ),
        ),
    ],
);
const FIELDS: Is = Table(&[("defaults", FIELD), ("overrides", List(&Any))], &[]);
const STAT: Is = Table(
    &[
        ("graphMode", One(&["none", "line", "area"])),
        ("colorMode", One(&["value", "background", "background_solid", "none"])),
        ("justifyMode", One(&["auto", "center"])),
        ("textMode", One(&["auto", "value", "value_and_name", "name", "none"])),
        ("wideLayout", Yes),
        ("showPercentChange", Yes),
        (
            "percentChangeColorMode",
            One(&["standard", "inverted", "same_as_value"]),
        ),
        ("orientation", One(&["auto", "vertical", "horizontal"])),
        (
            "reduceOptions",
            Table(&[("calcs", List(&Text))], &[("fields", Text), ("values", Yes)]),
        ),
    ],
    &[],
);
const SERIES: Is = Table(
    &[
        (
            "legend",
            Table(
                &[
                    ("displayMode", One(&["list", "table", "hidden"])),
                    ("placement", One(&["bottom", "right"])),
                    ("showLegend", Yes),
                    ("calcs", List(&Text)),
                ],
                &[],
            ),
        ),
        (
            "tooltip",
            Table(
                &[
                    ("mode", One(&["single", "multi", "none"])),
                    ("sort", One(&["asc", "desc", "none"])),
                ],
                &[],
            ),
        ),
    ],
    &[],
);
const VARIABLE: Is = Table(
    &[
        ("name", Text),
        ("type", One(&["datasource", "query"])),
        ("query", Text),
        ("current", Table(&[("text", Text), ("value", Text)], &[])),
    ],
    &[
        ("label", Text),
        ("hide", Number),
        ("datasource", SOURCE),
        ("definition", Text),
        ("includeAll", Yes),
        ("multi", Yes),
        ("allValue", Text),
        ("refresh", Number),
        ("sort", Number),
    ],
);
const BOARD: Is = Table(
    &[
        ("title", Text),
        ("uid", Text),
        ("schemaVersion", Number),
        ("panels", List(&Any)),
        ("templating", Table(&[("list", List(&VARIABLE))], &[])),
        ("time", Table(&[("from", Text), ("to", Text)], &[])),
        ("annotations", Table(&[("list", List(&Any))], &[])),
    ],
    &[
        ("tags", List(&Text)),
        ("version", Number),
        ("editable", Yes),
        ("graphTooltip", Number),
        ("timezone", One(&["browser", "utc"])),
        ("refresh", Text),
        ("links", List(&Any)),
    ],
);
const ROW: Is = Table(
    &[
        ("id", Number),
        ("type", One(&["row"])),
        ("title", Text),
        ("collapsed", Yes),
        ("panels", List(&Any)),
        ("gridPos", PLACE),
    ],
    &[],
);

/// A panel, with the options of its type.
fn panel(kind: &str, panel: &Value, faults: &mut Vec<String>) {
    const PANEL: Is = Table(
        &[
            ("id", Number),
            ("type", One(&["stat", "timeseries"])),
            ("title", Text),
            ("datasource", SOURCE),
            ("gridPos", PLACE),
            ("fieldConfig", FIELDS),
            ("targets", List(&TARGET)),
            ("options", Any),
        ],
        &[("description", Text)],
    );
    let title = panel["title"].as_str().unwrap_or("?").to_owned();
    if kind == "row" {
        return look(&ROW, panel, &title, faults);
    }
    look(&PANEL, panel, &title, faults);
    let options = if kind == "stat" { &STAT } else { &SERIES };
    look(options, &panel["options"], &format!("{title}.options"), faults);
}

fn look(is: &Is, value: &Value, at: &str, faults: &mut Vec<String>) {
    let good = match is {
        Text => value.is_string(),
        Number => value.is_number(),
        Yes => value.is_boolean(),
        One(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        List(each) => {
            for (n, one) in value.as_array().into_iter().flatten().enumerate() {
                look(each, one, &format!("{at}[{n}]"), faults);
            }
            value.is_array()
        }
        Table(needed, allowed) => {
            let Some(table) = value.as_object() else {
                faults.push(format!("{at}: {value} is no table"));
                return;
            };
            for (key, _) in needed.iter().filter(|(key, _)| !table.contains_key(*key)) {
                faults.push(format!("{at}: {key} is missing"));
            }
            for (key, value) in table {
                match needed.iter().chain(*allowed).find(|(known, _)| known == key) {
                    Some((_, is)) => look(is, value, &format!("{at}.{key}"), faults),
                    None => faults.push(format!("{at}: {key} is unknown")),
                }
            }
            return;
        }
        Any => true,
    };
    if !good {
        faults.push(format!("{at}: {value}"));
    }
}

fn faults(board: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    look(&BOARD, board, "board", &mut faults);
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for one in board["panels"].as_array().into_iter().flatten() {
        panel(one["type"].as_str().unwrap_or_default(), one, &mut faults);
        let title = one["title"].as_str().unwrap_or("?");
        if !ids.insert(one["id"].as_u64()) {
            faults.push(format!("{title}: an id twice"));
        }
        let side = |name: &str| one["gridPos"][name].as_u64().unwrap_or(0);
        let (x, y, w, h) = (side("x"), side("y"), side("w"), side("h"));
        if w == 0 || h == 0 || x + w > 24 {
            faults.push(format!("{title}: outside of the dashboard"));
        }
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            if !taken.insert(cell) {
                faults.push(format!("{title}: over another panel"));
                break;
            }
        }
        let targets = one["targets"].as_array().into_iter().flatten();
        let names: Vec<_> = targets.map(|target| target["refId"].as_str().unwrap_or("")).collect();
        if names.iter().collect::<BTreeSet<_>>().len() != names.len() {
            faults.push(format!("{title}: a refId twice"));
        }
        // The first step covers everything below the second. Steps must ascend.
        let steps = one["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array();
        let values: Vec<_> = steps.into_iter().flatten().map(|step| step["value"].as_f64()).collect();
        if !values.is_empty() && (values[0].is_some() || !values[1..].iter().is_sorted()) {
            faults.push(format!("{title}: thresholds {values:?}"));
        }
    }
    faults
}

fn board() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/grafana.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

#[test]
fn dashboard_conforms_to_grafanas_schema() {
    assert_eq!(faults(&board()), Vec::<String>::new());
}

#[test]
fn unknown_keys_are_found() {
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 6] = [
        (|b| b["pannels"] = json!([]), "board: pannels is unknown"),
        (|b| b["panels"][1]["type"] = "singlestat".into(), "Held calls.type"),
        (
            |b| {
                b["panels"][8]["options"]["legend"]
                    .as_object_mut()
                    .unwrap()
                    .remove("showLegend");
            },
            "options.legend: showLegend is missing",
        ),
        (
            |b| b["panels"][1]["fieldConfig"]["defaults"]["unit"] = "days".into(),
            "unit",
        ),
        (|b| b["panels"][2]["gridPos"]["x"] = 0.into(), "over another panel"),
        (|b| b["panels"][2]["id"] = 2.into(), "an id twice"),
    ];
    for (change, says) in changes {
        let mut board = board();
        change(&mut board);
        let found = faults(&board);
        assert!(found.iter().any(|fault| fault.contains(says)), "{says}: {found:?}");
    }
}

#[test]
fn every_query_is_valid_promql() {
    let Some(promtool) = crate::metrics::promtool() else {
        return;
    };
    let board = board();
    let targets = board["panels"].as_array().unwrap().iter().flat_map(|panel| {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets
            .into_iter()
            .map(|target| target["expr"].as_str().unwrap().to_owned())
    });
    let rules: Vec<_> = targets
        .enumerate()
        .map(|(n, expr)| {
            let expr = expr.replace("$__rate_interval", "5m").replace("$app", ".*");
            json!({ "record": format!("fswake:{n}"), "expr": expr })
        })
        .collect();
    assert!(rules.len() > 25, "{}", rules.len());
    let dir = tempfile::tempdir().unwrap();
    // JSON is also YAML.
    let file = dir.path().join("queries.yml");
    std::fs::write(
        &file,
        json!({ "groups": [{ "name": "board", "rules": rules }] }).to_string(),
    )
    .unwrap();
    let checked = std::process::Command::new(promtool)
        .args(["check", "rules"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
