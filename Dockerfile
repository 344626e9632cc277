# Two stages: the image has a static binary with certificate authorities, and a directory for data.
#
#   docker build -t ordinal .
#   docker run -d --name ordinal --read-only -v ordinal-data:/data -p 127.0.0.1:7400:7400 ordinal
#   docker exec ordinal /ordinal --token-file ordinal-data/ops.token stock set MUG 50
#
# Base images are named by tag. For images that you publish, pin the digests that you tested
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
# Listens for other machines; callers authenticate with tokens, which are generated at the first start.
ENV ORDINAL_LISTEN=0.0.0.0:7400
USER 65532:65532
# Data is in ./ordinal-data; temporary files of SQLite and `demo` are here too.
WORKDIR /data
VOLUME /data
EXPOSE 7400
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s CMD ["/ordinal", "health"]
ENTRYPOINT ["/ordinal"]
CMD ["serve"]
