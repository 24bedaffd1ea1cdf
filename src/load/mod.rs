//! The load driver.

#[expect(dead_code, reason = "not hung in yet")]
mod http1;
