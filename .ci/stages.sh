# Minutes of each stage of .ci/run, sourced by it. `stage NAME` begins one; `finish` prints them all and fails if their sum is
# over the limit: a gate that takes longer is not run, and what nobody runs protects nothing.
gate_minutes_max=75
stage_names=()
stage_starts=()

stage() {
  stage_names+=("$1")
  stage_starts+=("$SECONDS")
  printf '\n=== %s (%ss)\n' "$1" "$SECONDS"
}

finish() {
  local end=$SECONDS index next
  printf '\n=== minutes per stage\n'
  for index in "${!stage_names[@]}"; do
    next=${stage_starts[index + 1]:-$end}
    printf '%6s  %s\n' "$(in_minutes $((next - stage_starts[index])))" "${stage_names[index]}"
  done
  printf '%6s  in all, of at most %s\n' "$(in_minutes "$end")" "$gate_minutes_max"
  if ((end > gate_minutes_max * 60)); then
    echo "the gate took more than $gate_minutes_max minutes: move what is slow and rarely broken to make full" >&2
    return 1
  fi
}

in_minutes() { printf '%d.%d' $(($1 / 60)) $(($1 % 60 / 6)); }
