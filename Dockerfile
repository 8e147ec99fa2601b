# One file without Bun, packages or a shell around it. It reads all settings from the environment: docs/reference.md.
#   docker build --build-arg REVISION=$(git rev-parse --short=12 HEAD) -t baton .
#   docker run --read-only -p 8000:8000 -e BATON_API_KEYS=<a long random key> baton
FROM oven/bun:1.4.4-slim AS build
WORKDIR /src
COPY package.json bun.lock ./
RUN bun install --frozen-lockfile
COPY . .
ARG REVISION=""
RUN REVISION="$REVISION" bun run build && mkdir /empty

FROM gcr.io/distroless/base-debian12:nonroot
COPY --from=build /src/dist/baton /usr/local/bin/baton
# Where a volume for BATON_ENGINE=sqlite:/var/lib/baton/baton.db belongs; its user is the one below.
COPY --from=build --chown=65532:65532 /empty /var/lib/baton
USER 65532:65532
WORKDIR /var/lib/baton
ENV HOST=0.0.0.0
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["/usr/local/bin/baton", "health"]
ENTRYPOINT ["/usr/local/bin/baton"]
