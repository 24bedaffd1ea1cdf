# The verifier by itself: a static program, nobody's home and no shell. docker build -t verifier .
FROM rust:1.95-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The target is named, so that build scripts and macros, which cannot be static, do not get the flag.
RUN target=$(rustc -vV | sed -n 's/^host: //p') && \
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target "$target" --bin verifier && \
    install -D --strip "target/$target/release/verifier" /out/verifier && mkdir -m 1777 /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out /
USER 65532:65532
ENTRYPOINT ["/verifier"]
