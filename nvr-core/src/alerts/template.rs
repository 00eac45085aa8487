//! Texts of messages from templates (Jinja, by `minijinja`): no files, no functions of ours, a limit to their work. Pure.

use minijinja::{Environment, Error as TemplateError, UndefinedBehavior};
use serde_json::Value;

use super::message::Message;

/// Steps that one template may take.
const FUEL: u64 = 50_000;
/// Longest text that comes of one.
const MOST_BYTES: usize = 64 << 10;

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.add_filter("tojson", minijinja::filters::tojson);
    environment.add_filter("upper", minijinja::filters::upper);
    environment.add_filter("lower", minijinja::filters::lower);
    environment.add_filter("join", minijinja::filters::join);
    environment.add_filter("length", minijinja::filters::length);
    environment.add_filter("default", minijinja::filters::default);
    environment.add_filter("replace", minijinja::filters::replace);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_fuel(Some(FUEL));
    environment
}

/// The variables that a template may name.
#[must_use]
pub fn variables(message: &Message, page: Option<&str>) -> Value {
    let alerts: Vec<Value> = message
        .alerts
        .iter()
        .map(|a| {
            serde_json::json!({
                "id": a.id,
                "kind": a.kind.as_str(),
                "words": a.kind.words(),
                "severity": a.severity.as_str(),
                "camera": a.camera,
                "subject": a.subject,
                "summary": a.summary,
                "since": a.since.to_string(),
                "resolved": a.resolved.map(|t| t.to_string()),
            })
        })
        .collect();
    serde_json::json!({
        "status": message.kind.as_str(),
        "rule": message.rule,
        "kind": message.alerts.first().map(|a| a.kind.as_str()),
        "severity": message.severity.as_str(),
        "camera": message.alerts.iter().find_map(|a| a.camera.clone()),
        "at": message.at.to_string(),
        "title": message.title(),
        "text": message.text(),
        "count": message.alerts.len(),
        "alerts": alerts,
        "page": page,
    })
}

/// The text of a template.
///
/// # Errors
/// Why it is no template, or came to no end.
pub fn render(template: &str, variables: &Value) -> Result<String, String> {
    let environment = environment();
    let all = minijinja::Value::from(minijinja::value::Serde(variables));
    let text = environment.render_str(template, all).map_err(|e| why(&e))?;
    if text.len() > MOST_BYTES {
        return Err("the text becomes longer than 64 KiB".into());
    }
    Ok(text)
}

/// Whether a text is a template.
///
/// # Errors
/// Why not.
pub fn check(template: &str) -> Result<(), String> {
    if template.len() > MOST_BYTES {
        return Err("it is longer than 64 KiB".into());
    }
    let message = Message::test(crate::time::Timestamp::from_secs(0), None);
    render(template, &variables(&message, None)).map(drop)
}

/// Without the template's own text, which may hold secrets.
fn why(e: &TemplateError) -> String {
    let line = e.line().map_or(String::new(), |n| format!(" in its line {n}"));
    format!("{}{line}", e.kind())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn what_stands_in_the_guide_works() {
        let message = Message::test(Timestamp::from_secs(0), Some("front".parse().unwrap()));
        let all = variables(&message, Some("https://nvr.lan"));
        for (template, want) in [
            ("{{ title }} at {{ at }}", "nvr: a test at 1970-01-01T00:00:00Z"),
            ("{{ camera|upper }} {{ status }} {{ count }}", "FRONT test 1"),
            ("{% for a in alerts %}{{ a.camera }}{% endfor %}", "front"),
            (r#"{"text": {{ title|tojson }}}"#, r#"{"text": "nvr: a test"}"#),
            (
                "{% if severity == 'critical' %}!{% endif %}{{ nothing|default('-') }}",
                "-",
            ),
        ] {
            assert_eq!(render(template, &all).unwrap(), want);
        }
    }

    #[test]
    fn what_has_no_end_is_ended_and_nothing_is_quoted() {
        let endless = "{% for a in 'xxxxxxxxxxxxxxxxxxxx' %}".repeat(6) + &"{% endfor %}".repeat(6);
        assert!(check(&endless).is_err());
        let error = check("{{ hunter2").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
        for wrong in ["{% include 'x' %}", "{{ a|nofilter }}", "{% for %}"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
