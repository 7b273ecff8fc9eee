#!/bin/sh
# What an administrator does with a new gateway, as a script: only llmgate, curl and jq.
# LLMGATE_URL names the gateway, ADMIN_PASSWORD_FILE holds the password of its user "admin".
set -eu

url=$LLMGATE_URL
unset LLMGATE_URL
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Log in. Passwords come from a file or from standard input, never from the command line.
llmgate login --context admin --url "$url" --name admin --password-file "$ADMIN_PASSWORD_FILE"
export LLMGATE_CONTEXT=admin

# A registration token is printed once, alone on standard output. Ann makes her own account with it.
token=$(llmgate tokens create "for Ann" --uses 1 --level 3)
printf '%s\n%s\n' "$token" "a long password of Ann's" |
    llmgate login --context ann --url "$url" --register --name ann --password-stdin
llmgate --context ann auth status -o json | jq -e '.name == "ann" and .role == "user"' >"$work/check"

# Keys of three levels: 1 is served first, 5 last.
urgent=$(llmgate keys create urgent --level 1)
laptop=$(llmgate keys create laptop --user ann --level 3)
batch=$(llmgate keys create batch --level 5 -o json | jq -r .key)

# The office needs no key.
llmgate whitelist add 192.0.2.0/24 --label office --level 2 --quiet
llmgate whitelist list -o json | jq -e 'map(.cidr) == ["192.0.2.0/24"]' >"$work/check"

ask() {
    curl -fsS "$url/v1/chat/completions" -H "Authorization: Bearer $1" -H "Content-Type: application/json" \
        -d '{"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}' -o "$work/answer-$2"
}

# Some load: ten requests with each key, all at once.
pids=""
for number in 1 2 3 4 5 6 7 8 9 10; do
    ask "$urgent" "urgent-$number" & pids="$pids $!"
    ask "$laptop" "laptop-$number" & pids="$pids $!"
    ask "$batch" "batch-$number" & pids="$pids $!"
done
for pid in $pids; do wait "$pid"; done

# Who used how much?
llmgate usage --by key -o json >"$work/usage"
jq -e 'map({(.name): .requests}) | add == {urgent: 10, laptop: 10, batch: 10}' "$work/usage" >"$work/check"
llmgate usage --by user --then-by level -o json |
    jq -e 'map(select(.name == "ann")) | length == 1 and .[0].then_key == "3" and .[0].output_tokens > 0' >"$work/check"
jq -r '.[] | "\(.name): \(.requests) requests, \(.output_tokens) tokens out"' "$work/usage"

# A new secret for a key. The old one works for another hour, so that nobody is cut off.
renewed=$(llmgate keys rotate urgent --overlap 1h)
[ "$renewed" != "$urgent" ]
ask "$urgent" old
ask "$renewed" new

# Revoke a key while it is used: its stream ends.
curl -sN "$url/api/chat" -H "Authorization: Bearer $batch" \
    -d '{"model": "llama3.2", "messages": [{"role": "user", "content": "Tell me a long story"}]}' >"$work/stream" &
stream=$!
tries=0
until [ -s "$work/stream" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ]
    sleep 0.05
done
kill -0 "$stream"
llmgate keys revoke batch --yes -o json | jq -e '.revoked_at != null' >"$work/check"
begun=$(date +%s%N)
wait "$stream" || true
echo "stream ended after $((($(date +%s%N) - begun) / 1000000)) ms"
tail -n 1 "$work/stream" | jq -r '"it ended with: \(.error)"'
! ask "$batch" refused 2>"$work/refused"

# And all of that is written down.
llmgate activity list --limit 20 -o json | jq -e 'map(.action) | contains(["key.revoke", "key.rotate"])' >"$work/check"
llmgate activity verify
