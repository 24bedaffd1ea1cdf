# shellcheck shell=bash
# until_true SECONDS WHAT COMMAND...: asks every 0.2 s; when the time is up, says what it waited for and the last answer.
until_true() {
  local deadline=$((SECONDS + $1)) what=$2 answer
  shift 2
  until answer=$("$@" 2>&1); do
    if ((SECONDS >= deadline)); then
      echo "waited in vain for $what: ${answer:-no answer}" >&2
      return 1
    fi
    sleep 0.2
  done
}
