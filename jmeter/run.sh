#!/usr/bin/env bash
# Runs the plans of this folder with JMeter, prints a table of what came out, and ends with 1 when a limit is broken.
#
#   jmeter/run.sh [OPTION...] PLAN...          PLAN: normal, stress, spike, soak, or a file.jmx
#
#   --host H --port P     what is asked (port 8080 unless named); without --host, `suture bench load` starts the sample
#                         shop and asks that
#   --duration S          seconds for each plan, instead of the plan's own
#   --out DIR             where results go (here: jmeter-results)
#   --max-errors PERCENT  limit for errors, instead of the plan's own
#   --max-p95 MS          limit for the 95th percentile
#   --no-limits           shows, and does not judge
#   -Jname=value          a property of JMeter or of the plan: -Jusers=50 -Jthink_min=100
#   --find                only looks for JMeter
#
# Average and percentiles are those of good answers, and of requests that were waited for in vain.
# Exit codes: 0 well, 1 a limit was broken or JMeter failed, 2 wrong arguments or no JMeter.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() { sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }
stop() { printf 'jmeter/run.sh: %s\n' "$*" >&2; exit 2; }
number() { [[ $2 =~ ^[0-9]+([.][0-9]+)?$ ]] || stop "$1 wants a number, not \`$2'"; }
whole() { [[ $2 =~ ^[0-9]{1,7}$ ]] || stop "$1 wants a whole number, not \`$2'"; }

# The same as in src/load/plan.rs; a test there holds them equal.
limits() {
    case $1 in
        normal) echo "1 250" ;;
        stress) echo "5 350" ;;
        spike) echo "10 500" ;;
        soak) echo "1 250" ;;
        *) echo "1 1000" ;;
    esac
}

# Sets JMETER to the command.
find_jmeter() {
    local found
    if [ -n "${JMETER_HOME:-}" ]; then
        [ -x "$JMETER_HOME/bin/jmeter" ] || stop "JMETER_HOME is $JMETER_HOME, and there is no bin/jmeter in it"
        JMETER=("$JMETER_HOME/bin/jmeter")
        return
    fi
    found=$(command -v jmeter) || stop "no JMeter here. Install it (Debian: apt-get install jmeter jmeter-http), or unpack
JMeter 5 from https://jmeter.apache.org and set JMETER_HOME to its folder"
    # Debian's own starter; see JMeterOnDebian.java.
    if ! grep -qs java-wrappers "$found"; then
        JMETER=("$found")
        return
    fi
    [ -e /usr/share/jmeter/lib/ext/ApacheJMeter_http.jar ] || stop "JMeter's HTTP part is missing: apt-get install jmeter-http"
    # Listed first and searched then: a pipe that is closed early counts as a failure here.
    local modules
    modules=$(java --list-modules) || stop "java does not run"
    [[ $modules == *jdk.compiler* ]] || stop "java has no compiler here: apt-get install default-jdk-headless"
    JMETER=(java -Xmx512m -Djava.awt.headless=true -Djmeter.home=/usr/share/jmeter)
    local package
    for package in java.lang java.util java.text java.lang.reflect; do
        JMETER+=(--add-opens "java.base/$package=ALL-UNNAMED")
    done
    JMETER+=(-cp /usr/share/jmeter/bin/ApacheJMeter.jar "$here/JMeterOnDebian.java")
}

# default FILE PROPERTY: what the plan says where nobody says otherwise.
default() { sed -n "s/.*__P($2,\([0-9]*\)).*/\1/p" "$1" | head -n 1; }

# at_most A B: the smaller one, and one at least.
at_most() { local n=$(($1 < $2 ? $1 : $2)); echo $((n > 1 ? n : 1)); }

# figures FILE SECONDS: requests, average, p50, p95, p99, good answers a second, errors in percent.
figures() {
    # Asserts nothing about the order of columns; what comes before the ones used here has no commas.
    awk -F, '
        NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        {
            good = $at["success"] == "true"; code = $at["responseCode"]; ms = $at["elapsed"]
            if (good) print "good", ms
            else if (code ~ /TimeoutException$/ || (code ~ /^2/ && ms >= 5000)) print "waited", ms
            else print "failed", 0
        }' "$1" | sort -k2,2n | awk -v seconds="$2" '
        $1 == "failed" { failed++; next }
        { n++; all[n] = $2; sum += $2; if ($1 == "good") good++; else failed++ }
        function quantile(q,    rank) { rank = int(n * q); if (rank < n * q) rank++; return all[rank < 1 ? 1 : rank] + 0 }
        END {
            requests = good + failed
            printf "%d %.0f %d %d %d %.1f %.2f\n", requests, n ? sum / n : 0, quantile(0.5), quantile(0.95), quantile(0.99),
                good / seconds, requests ? 100 * failed / requests : 100
        }'
}

host="" port=8080 duration="" out=jmeter-results max_errors="" max_p95="" judged=1 only_find=""
plans=() properties=()
while [ $# -gt 0 ]; do
    case $1 in
        --host | --port | --duration | --out | --max-errors | --max-p95)
            [ $# -ge 2 ] || stop "$1 wants a value"
            case $1 in
                --host) host=$2 ;;
                --port) whole "$1" "$2" && port=$2 ;;
                --duration) whole "$1" "$2" && duration=$2 ;;
                --out) out=$2 ;;
                --max-errors) number "$1" "$2" && max_errors=$2 ;;
                --max-p95) whole "$1" "$2" && max_p95=$2 ;;
            esac
            shift 2
            ;;
        --no-limits) judged="" && shift ;;
        --find) only_find=1 && shift ;;
        -J?*=*) properties+=("$1") && shift ;;
        -h | --help) usage && exit 0 ;;
        -*) stop "there is no option $1; --help lists them" ;;
        *) plans+=("$1") && shift ;;
    esac
done
JMETER=()
find_jmeter
[ -z "$only_find" ] || exit 0
[ ${#plans[@]} -gt 0 ] || stop "name a plan: normal, stress, spike, soak, or a file.jmx"

if [ -z "$host" ]; then
    [ ${#properties[@]} -eq 0 ] || stop "-J needs --host: with the sample shop the plans are run as they are"
    suture=${SUTURE:-$here/../target/release/suture}
    [ -x "$suture" ] || suture=$(command -v suture) || stop "no suture here: cargo build --release, or name a --host"
    arguments=(bench load "${plans[@]}" --engine jmeter --healing off --out "$out")
    [ -z "$duration" ] || arguments+=(--duration "${duration}s")
    [ -z "$max_errors" ] || arguments+=(--max-errors "$max_errors")
    [ -z "$max_p95" ] || arguments+=(--max-p95 "${max_p95}ms")
    exec "$suture" "${arguments[@]}"
fi

mkdir -p "$out"
broken=0
table=()
for plan in "${plans[@]}"; do
    file=$plan
    [ -e "$file" ] || file=$here/$plan.jmx
    [ -e "$file" ] || stop "there is no plan $plan"
    name=$(basename "$file" .jmx)
    jtl=$out/$name.jtl
    # JMeter appends.
    rm -f "$jtl"
    settings=(-Jhost="$host" -Jport="$port" -Jjtl="$jtl" -Jjmeterengine.nongui.port=0)
    # A plan of somebody else need not say how long it takes.
    seconds=${duration:-$(default "$file" duration)}
    if [ -n "$duration" ]; then
        settings+=(-Jduration="$duration" -Jramp="$(at_most "$(default "$file" ramp)" $((duration / 4)))")
        if [ "$name" = spike ]; then
            from=$((duration / 3)) until=$((duration * 2 / 3))
            settings+=(-Jcrowd_delay="$from" -Jcrowd_duration=$((until - from)))
            settings+=(-Jcrowd_ramp="$(at_most "$(default "$file" crowd_ramp)" $(((until - from) / 4)))")
        fi
    fi
    printf '==> %s: %s s against %s:%s\n' "$name" "$seconds" "$host" "$port"
    "${JMETER[@]}" -n -t "$file" -j "$out/$name.log" "${settings[@]}" "${properties[@]}" </dev/null \
        || { echo "JMeter failed; see $out/$name.log" >&2; exit 1; }
    [ -s "$jtl" ] || { echo "JMeter wrote no results; see $out/$name.log" >&2; exit 1; }
    row=$(figures "$jtl" "${seconds:-1}")
    read -r most_errors most_p95 <<<"$(limits "$name")"
    most_errors=${max_errors:-$most_errors} most_p95=${max_p95:-$most_p95}
    verdict=$(awk -v row="$row" -v errors="$most_errors" -v p95="$most_p95" 'BEGIN {
        split(row, f, " ")
        if (f[1] == 0) print "no requests"
        else if (f[7] > errors) printf "errors over %s %%\n", errors
        else if (f[4] > p95) printf "p95 over %s ms\n", p95
        else print "within limits"
    }')
    [ "$verdict" = "within limits" ] || broken=1
    table+=("$name $row $verdict")
done

printf '\n%-10s %9s %8s %7s %7s %7s %8s %9s  %s\n' plan requests "avg ms" "p50 ms" "p95 ms" "p99 ms" good/s "errors %" limits
for line in "${table[@]}"; do
    read -r name requests average p50 p95 p99 rate errors verdict <<<"$line"
    printf '%-10s %9s %8s %7s %7s %7s %8s %9s  %s\n' "$name" "$requests" "$average" "$p50" "$p95" "$p99" "$rate" "$errors" "$verdict"
done
[ -z "$judged" ] || exit $broken
