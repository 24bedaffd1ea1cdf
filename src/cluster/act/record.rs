//! The durable record of an action: annotations of the Deployment, written by the same patch as the action itself.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::domain::rollout::guard::{Record, Verb};
use crate::domain::traffic::Name;

const ACTION: &str = "verifier.dev/action";
const RUN: &str = "verifier.dev/run";
const AT: &str = "verifier.dev/at";
const UID: &str = "verifier.dev/uid";
const REVISION: &str = "verifier.dev/revision";
const REASON: &str = "verifier.dev/reason";

/// The record that an object carries. One that is not whole is none.
pub(crate) fn read(meta: &ObjectMeta) -> Option<Record> {
    let annotations = meta.annotations.as_ref()?;
    let text = |key: &str| annotations.get(key).map(|v| Name::from(v.as_str()));
    Some(Record {
        verb: Verb::of(&text(ACTION)?)?,
        run: text(RUN)?,
        at: text(AT)?,
        uid: text(UID)?,
        revision: text(REVISION)?,
        reason: annotations.get(REASON).cloned().unwrap_or_default(),
    })
}

/// The annotations of a record.
pub(crate) fn annotations(record: &Record) -> [(&'static str, String); 6] {
    [
        (ACTION, record.verb.label().into()),
        (RUN, record.run.to_string()),
        (AT, record.at.to_string()),
        (UID, record.uid.to_string()),
        (REVISION, record.revision.to_string()),
        (REASON, record.reason.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_from_its_annotations_and_half_of_one_does_not() {
        let n = Name::from;
        let record = Record {
            verb: Verb::Hold,
            run: n("r-1"),
            at: n("2026-01-01T00:00:00Z"),
            uid: n("u"),
            revision: n("abc"),
            reason: "37 of 930 requests failed".into(),
        };
        let mut meta = ObjectMeta {
            annotations: Some(annotations(&record).into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
            ..ObjectMeta::default()
        };
        assert_eq!(read(&meta), Some(record));
        if let Some(annotations) = &mut meta.annotations {
            annotations.insert(ACTION.into(), "explode".into());
        }
        assert_eq!(read(&meta), None);
        assert_eq!(read(&ObjectMeta::default()), None);
    }
}
