# Two stages: a static binary, a place for data, and nothing else. Certificate authorities are in the binary.
#
#   docker build -t ordinal .
#   docker run -d --name ordinal --read-only -v ordinal-data:/data -p 127.0.0.1:7400:7400 ordinal
#   docker exec ordinal /ordinal --token-file ordinal-data/ops.token stock set MUG 50
#
# Bases stand here by tag. What is published should name what was tried: put the digests behind the tags
# (`docker buildx imagetools inspect rust:1.95-alpine` shows them; docs/supply-chain.md).
FROM rust:1.95-alpine AS build
RUN apk add --no-cache build-base
WORKDIR /src
COPY . .
RUN cargo build --profile dist --locked && cp target/dist/ordinal /ordinal && mkdir -m 0700 /data

FROM scratch
COPY --from=build /ordinal /ordinal
COPY --from=build /src/LICENSE /LICENSE
COPY --from=build --chown=65532:65532 /data /data
# For others than this container; callers prove themselves by tokens, which are drawn at the first start.
ENV ORDINAL_LISTEN=0.0.0.0:7400
USER 65532:65532
# Data is kept in ./ordinal-data; SQLite and `demo` put what is temporary here too.
WORKDIR /data
VOLUME /data
EXPOSE 7400
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s CMD ["/ordinal", "health"]
ENTRYPOINT ["/ordinal"]
CMD ["serve"]
