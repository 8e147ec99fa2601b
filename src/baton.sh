#!/bin/sh
# The command `baton` of the npm package: runs baton.ts with Bun, or says how to get it. In the folder where it is started it reads no
# .env and no bunfig.toml, as the binary does not.
if ! command -v bun > /dev/null; then
  echo 'baton: Baton runs on Bun, which is not on PATH. Install it next to Baton (npm install bun@1.4.4) or for all (npm install -g bun@1.4.4).' >&2
  exit 127
fi
exec bun --no-env-file --config=/dev/null "$(dirname "$(readlink -f "$0")")/baton.ts" "$@"
