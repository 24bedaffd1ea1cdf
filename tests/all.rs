//! Integration tests, in one binary.

#[cfg(test)]
mod ingress;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod workload;
