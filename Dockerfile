# Two stages: a static binary, and nothing else.
FROM rust:1.95-alpine AS build
RUN apk add --no-cache build-base
WORKDIR /src
COPY . .
RUN cargo build --release --locked && cp target/release/ordinal /ordinal

FROM scratch
COPY --from=build /ordinal /ordinal
COPY --from=build /src/LICENSE /LICENSE
USER 65532:65532
EXPOSE 7400
ENTRYPOINT ["/ordinal"]
CMD ["serve"]
