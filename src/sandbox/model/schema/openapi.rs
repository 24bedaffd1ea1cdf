//! The OpenAPI documents that `kubectl explain` and `kubectl apply` read.
