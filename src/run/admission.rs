//! The lanes that ask pods before they are let in: what users ask for, at the pod's own address.

use super::executor::{in_flight, without_tls};
use crate::domain::admission::RATE;
use crate::domain::time::At;
use crate::domain::traffic::{ADMISSION, LanePlan, Mode, PODS, RequestPlan, Schedule};

/// Lanes of a plan at most.
const LANES_MAX: usize = 16;
/// What a lane may send at the most: to several pods at once.
const RATE_MAX: f64 = 20.0 * RATE;

/// Adds a lane for each way in which the users' lanes ask: how they treat their connections is no matter of the pod, and streams are left
/// out, which may never end. The error says that there is no room for them.
pub(super) fn add_lanes(lanes: &mut Vec<LanePlan>) -> Result<(), String> {
    let mut ways: Vec<LanePlan> = Vec::new();
    for lane in lanes.iter().filter(|lane| !lane.asks_pods() && !matches!(lane.mode, Mode::Stream { .. })) {
        let url = without_tls(&lane.request.url);
        let way = LanePlan {
            mode: Mode::Fresh,
            rate: RATE,
            schedule: Schedule::default(),
            // The driver is told a rate when there is somebody to ask.
            start: At(u64::MAX),
            request: RequestPlan { url, connect_to: Some(PODS.to_owned()), ..lane.request.clone() },
            max_in_flight: in_flight(RATE_MAX, lane.timeout),
            ..lane.clone()
        };
        let same = |other: &LanePlan| LanePlan { name: other.name.clone(), ..way.clone() } == *other;
        if !ways.iter().any(same) {
            let number = if ways.is_empty() { String::new() } else { format!("-{}", ways.len() + 1) };
            ways.push(LanePlan { name: format!("{ADMISSION}{number}").into(), ..way });
        }
    }
    if ways.is_empty() {
        return Err("pods cannot be judged before they are let in: all lanes are streams".into());
    }
    if lanes.len() + ways.len() > LANES_MAX {
        return Err(format!(
            "pods cannot be judged before they are let in: with {} more lanes there would be more than {LANES_MAX}",
            ways.len()
        ));
    }
    lanes.extend(ways);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::lane;

    #[test]
    fn each_way_of_asking_has_one_lane_however_many_lanes_ask_so() {
        let slow = LanePlan {
            request: RequestPlan { url: "https://x/slow".into(), ..RequestPlan::default() },
            ..lane("slow", Mode::Fresh, 5.0, vec![500_000])
        };
        let mut lanes = vec![
            lane("fresh", Mode::Fresh, 100.0, vec![500_000]),
            lane("kept", Mode::Kept { connections: 5 }, 50.0, vec![500_000]),
            slow,
        ];
        add_lanes(&mut lanes).unwrap();
        let added: Vec<(&str, &str)> = lanes[3..].iter().map(|l| (&*l.name, &*l.request.url)).collect();
        assert_eq!(added, [("admission", "http://x/"), ("admission-2", "http://x/slow")]);
        assert!(lanes[3..].iter().all(|l| l.judges_admission() && l.thresholds == [500_000] && l.mode == Mode::Fresh));
        let stream = Mode::Stream { length: std::time::Duration::from_secs(1), stall: std::time::Duration::from_secs(1) };
        assert!(add_lanes(&mut vec![lane("stream", stream, 1.0, vec![])]).is_err());
        assert!(add_lanes(&mut (0..16).map(|n| lane(&format!("l{n}"), Mode::Fresh, 1.0, vec![])).collect()).is_err());
    }
}
