use super::*;
use crate::domain::fixtures::{breach, fold, healthy, until};
use crate::report::golden;
use crate::report::look::Look;

const UNICODE: Look = Look { colour: false, unicode: true, live: true };
const ASCII: Look = Look { colour: false, unicode: false, live: true };

#[test]
fn frames_show_a_run_at_a_glance() {
    let (healthy, breach) = (healthy(), breach());
    let moments = [
        ("preparing", until(&healthy, 4)),
        ("before the change", until(&healthy, 20)),
        ("new pods start", until(&healthy, 38)),
        ("nearly breached", until(&breach, 45)),
        ("breached", until(&breach, 50)),
        ("complete", until(&healthy, 95)),
    ];
    let mut text = String::new();
    for (name, events) in moments {
        let frame = frame(&fold(events), 110, UNICODE);
        assert!(frame.len() <= 16, "{name}: {} lines", frame.len());
        text.extend(["--- ", name, "\n", &frame.join("\n"), "\n"]);
    }
    let ascii = frame(&fold(until(&breach, 45)), 60, ASCII);
    assert!(ascii.iter().all(|l| l.is_ascii() && l.len() <= 60));
    text.extend(["--- nearly breached, ASCII, 60 columns\n", &ascii.join("\n"), "\n"]);
    golden::check("frames.txt", &text);
}
