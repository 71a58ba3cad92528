# brokerbench as an image, for brokers that run elsewhere: it holds no Kafka, no Redis and no Java.
#
#   docker build -t brokerbench .
#   docker run --rm --network host -v "$PWD/results:/bench/results" --user "$(id -u):$(id -g)" \
#       brokerbench run latency --kafka 127.0.0.1:9092 --redis redis://127.0.0.1:6379
#
# Host networking, because a bridge between load and broker would be measured too. Both base images can be replaced,
# by a mirror's for example; a mirror of crates.io is set as for any cargo (CARGO_REGISTRIES_…, or a config.toml).
ARG RUST_IMAGE=docker.io/library/rust:1.95-slim-bookworm
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
# librdkafka and zstd are C; OpenSSL is built from source, for which it wants Perl and make.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ make perl pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
# The commit that results name, where no git tree is copied: --build-arg SOURCE_COMMIT="$(git rev-parse HEAD)"
ARG SOURCE_COMMIT=
RUN cargo build --locked --release --features vendored,aws --bin brokerbench \
    && strip target/release/brokerbench

FROM ${BASE_IMAGE}
# What certificates are checked against.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home brokerbench \
    && install --directory --owner brokerbench --group brokerbench /bench /bench/results
COPY --from=build /source/target/release/brokerbench /usr/local/bin/brokerbench
COPY LICENSE-MIT LICENSE-APACHE assets/DejaVuSans.LICENSE.txt /usr/share/doc/brokerbench/
WORKDIR /bench
# Whoever `--user` says may write there; what is cached (the self-check's result) lives as long as the container.
ENV BROKERBENCH_CACHE=/tmp
USER 10001:10001
VOLUME ["/bench/results"]
ENTRYPOINT ["brokerbench"]
CMD ["--help"]
