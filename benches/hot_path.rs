//! What the steps of one request cost the driver by themselves: `cargo bench --bench hot_path`. No socket is opened.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench ends by failing, and its output is its purpose")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use verifier::domain::latency::Latencies;
use verifier::domain::pacing::{Pacer, Users};
use verifier::domain::sparse::{Sparse, Tally, merge};
use verifier::domain::time::At;
use verifier::domain::traffic::{Expect, LanePlan, Mode, RequestPlan, Schedule};
use verifier::load::lab::{Booker, Reader, name};

/// Measured one by one; a stretch is long enough for the clock.
const STRETCHES: usize = 41;
const STRETCH: Duration = Duration::from_millis(5);

/// Runs `step` again and again and prints what one costs, in nanoseconds.
fn measure(what: &str, mut step: impl FnMut()) {
    let mut per_stretch = 1_u32;
    loop {
        let start = Instant::now();
        (0..per_stretch).for_each(|_| step());
        if start.elapsed() >= STRETCH {
            break;
        }
        per_stretch *= 2;
    }
    let mut each: Vec<f64> = (0..STRETCHES)
        .map(|_| {
            let start = Instant::now();
            (0..per_stretch).for_each(|_| step());
            start.elapsed().as_secs_f64() * 1e9 / f64::from(per_stretch)
        })
        .collect();
    each.sort_unstable_by(f64::total_cmp);
    println!("{what:<52} {:>9.1} {:>9.1} {:>9.1}", each[0], each[STRETCHES / 2], each[STRETCHES - 1]);
}

/// Latencies like those of a healthy service: a few hundred microseconds, now and then some milliseconds.
fn latencies() -> impl FnMut() -> u64 {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        200 + state % 300 + if state.is_multiple_of(50) { state % 9_000 } else { 0 }
    }
}

fn lane(expect: Expect) -> LanePlan {
    LanePlan {
        name: "lane".into(),
        mode: Mode::Kept { connections: 1 },
        rate: 1.0,
        schedule: Schedule::default(),
        start: At::ZERO,
        request: RequestPlan { url: "http://127.0.0.1:9/".into(), ..RequestPlan::default() },
        expect,
        timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(1),
        max_in_flight: 1,
        thresholds: Vec::new(),
    }
}

fn answers() {
    let text = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: application/json\r\n\
        Content-Length: 26\r\nConnection: keep-alive\r\nX-Pod-Name: backend-5c777c555d-abcde\r\nX-App-Version: v2\r\n\r\n{\"id\":1,\"title\":\"Go home\"}\n";
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Pod-Name: backend-5c777c555d-abcde\r\n\r\n\
        d\r\n{\"id\":1,\"titl\r\nd\r\ne\":\"Go home\"}\n\r\n0\r\n\r\n";
    let mut plain = Reader::new(&lane(Expect::default())).unwrap();
    measure("decode and classify an answer", || _ = black_box(plain.read([black_box(&text[..])])));
    measure("the same in two pieces, cut in the head", || _ = black_box(plain.read([&text[..60], black_box(&text[60..])])));
    measure("the same, chunked", || _ = black_box(plain.read([black_box(&chunked[..])])));
    let json = Expect { json: vec!["$.title == \"Go home\"".into()], ..Expect::default() };
    let mut json = Reader::new(&lane(json)).unwrap();
    measure("the same with an assertion on JSON", || _ = black_box(json.read([black_box(&text[..])])));
}

fn books() {
    let (mut next, pods) = (latencies(), ["a", "b", "c", "d"].map(name));
    let (mut booker, mut i) = (Booker::new(&[250_000, 500_000], 2_000_000).unwrap(), 0_usize);
    measure("book a slot, and a tenth after each 1,000", || {
        booker.slot(At(i as u64 * 100), next(), &pods[i % pods.len()]);
        i += 1;
        if i.is_multiple_of(1_000) {
            black_box(booker.tenth());
        }
    });
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 1_000_000_000, 3).unwrap();
    measure("record a latency of the whole run", || histogram.saturating_record(black_box(next())));
    let (mut tally, mut n) = (Tally::default(), 0);
    measure("record a latency of a slice, taken after each 1,000", || {
        tally.record(black_box(next()));
        n += 1;
        if n % 1_000 == 0 {
            black_box(tally.take());
        }
    });
    let slices: Vec<Sparse> = (0..16)
        .map(|_| {
            (0..1_000).for_each(|_| tally.record(next()));
            tally.take()
        })
        .collect();
    let mut which = 0;
    measure("merge the latencies of two slices of 1,000", || {
        let mut sum = slices[which % slices.len()].clone();
        which += 1;
        merge(&mut sum, &slices[which % slices.len()]);
        black_box(sum);
    });
    let mut all = Latencies::default();
    measure("add a slice of 1,000 to those of the run", || {
        which += 1;
        slices[which % slices.len()].iter().for_each(|(micros, n)| all.add(*micros, u64::from(*n)));
    });
}

fn schedules() {
    let mut i = 0;
    let mut even = Pacer::constant(At::ZERO, 10_000.0).unwrap();
    measure("one step of an even schedule", || {
        i += 1;
        black_box(even.due(i));
    });
    let (mut poisson, mut j) = (Pacer::constant(At::ZERO, 10_000.0).unwrap().poisson(1), 0);
    measure("one step of a Poisson schedule", || {
        j += 1;
        black_box(poisson.due(j));
    });
    let mut users = Users::new(10_000, Duration::from_secs(1), At::ZERO, 1);
    measure("one step of 10,000 users who think", || {
        let due = users.next_due().unwrap();
        users.begin();
        users.ended(due + Duration::from_micros(300), true);
    });
}

fn main() {
    println!("{:<52} {:>9} {:>9} {:>9}", "nanoseconds each", "least", "median", "most");
    answers();
    books();
    schedules();
}
