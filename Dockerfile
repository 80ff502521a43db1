# Any Debian-like image with Node 20.19 or later and npm. `@sha256:…` pins the exact image.
ARG BASE=node:22.23.3-bookworm-slim

FROM ${BASE} AS build
# The version in Debian 12. For another base: --build-arg TINI=VERSION.
ARG TINI=0.19.0-1*
RUN apt-get update && apt-get install -y --no-install-recommends "tini=${TINI}"
WORKDIR /src
COPY . .
# The commit for `docker-proxy -version`: the image is built without .git.
ARG BUILD_COMMIT=unknown
RUN npm ci && npm prune --omit=dev --ignore-scripts

# What runs in the end, and nothing else: Node, its libraries, the program, and an init.
RUN mkdir -p /image/usr/bin /image/opt/docker-proxy \
 && cp "$(readlink -f "$(command -v node)")" /image/usr/bin/node \
 && ldd /image/usr/bin/node | grep -o '/[^ ]*' | xargs cp -L --parents -t /image \
 && cp /usr/bin/tini-static /image/usr/bin/docker-init \
 && cp -r package.json dist node_modules LICENSE /image/opt/docker-proxy

FROM scratch
COPY --from=build /image /
# Docker lets every user of a container bind ports below 1024. Run by other means, or in the host's
# network, such a port takes `--user 0`.
USER 65532:65532
# There is no shell for the launcher here, so the program that it becomes is called as the launcher would.
# NODE_OPTIONS: no debugger, see src/linux/node-options.ts.
ENV DOCKER_PROXY_COMMAND=/opt/docker-proxy/dist/docker-proxy NODE_OPTIONS=--inspect-port=192.0.2.1:9229
# tini is Docker's own docker-init: it passes signals on and reaps child processes.
ENTRYPOINT ["/usr/bin/docker-init", "--", "/usr/bin/node", "/opt/docker-proxy/dist/docker-proxy-process"]
CMD ["-help"]
