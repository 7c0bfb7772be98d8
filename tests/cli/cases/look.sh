# SPDX-License-Identifier: MIT
# Looking at runs: report, compare, export, stats --watch; of runs that are done, going on, empty or damaged.
make_text text.txt 1000
# shellcheck disable=SC2086 # several words
set -- train $TINY --data text.txt --tokenizer char --steps 60 --eval-every 20 --save-every 30 --sample-every 20 --seed 3 --quiet
"$CLLM" "$@" --out run
"$CLLM" "$@" --out twin --threads 1
"$CLLM" "$@" --out other --lr 0.002

cat >page.py <<'E2'
import html.parser, sys
class Page(html.parser.HTMLParser):
    void = {"meta", "link", "path", "br", "img"}
    def __init__(self):
        super().__init__(); self.ids = []; self.scripts = 0; self.outside = []; self.figures = 0
    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.scripts += tag == "script"; self.figures += tag == "figure"
        if "id" in attrs: self.ids.append(attrs["id"])
        for k, v in attrs.items():
            if k in ("src", "srcdoc") or k.startswith("on") or k == "href" and v != "data:,": self.outside.append((tag, k, v))
page = Page(); page.feed(open(sys.argv[1], encoding="utf-8").read()); page.close()
want = sys.argv[2].split()
assert page.ids == want, page.ids
assert page.scripts == 1 and not page.outside, (page.scripts, page.outside)
E2
sections="loss grad-norm lr speed waiting spheres samples checkpoints events settings"
parses() { # parses NAME FILE IDS: the page has these sections in this order, one script, and nothing from elsewhere
    if command -v python3 >/dev/null; then
        if python3 page.py "$2" "$3" >why 2>&1; then ok "$1"; else fail "$1: $(tail -1 why)"; fi
    else
        ok "$1 (not parsed: python3 is missing)"
    fi
}
find run | sort >before
"$CLLM" report run --out run.html >stdout 2>stderr
check "report" test $? = 0 -a ! -s stderr
parses "its page" run.html "summary $sections"
check "it says where the page is" grep -qx run.html stdout
check "curves" sh -c 'test "$(grep -o "class=\"curve" run.html | wc -l)" = 7'
check "the last loss" sh -c 'grep -q "data-points=\"1:[0-9.]* .* 60:[0-9.e-]*\"" run.html'
check "the tree of spheres" grep -q "<title>sphere 1, level 1: waiting" run.html
check "samples over time" grep -q "<summary>step 40" run.html
check "checkpoints" grep -q "<tr><td>30<td>" run.html
check "the share of the peak beside the speed" grep -q 'data-name="% of peak (right)"' run.html
check "in numbers above" grep -q "<dt>share of peak</dt><dd>[0-9.]* % of [0-9.kMGT]*FLOP/s" run.html
check "and what saving took" grep -q "of the last session: [23] checkpoints, [0-9.]* % or .* of training lost" run.html
"$CLLM" stats run >stdout
check "stats: the share too" grep -q "FLOP/s on average since then, [0-9.]* % of the [0-9.kMGT]*FLOP/s that" stdout
check "stats: saving too" grep -q "^saving: [23] checkpoints, [0-9.]* % or .* of training lost, .* in all" stdout
check "stats.json: what saving took" sh -c '"$CLLM" stats run --json | python3 -c "
import json, os, sys
s = json.load(sys.stdin)[\"saving\"]
size = lambda step: sum(f[\"size_bytes\"] for f in json.load(open(\"run/checkpoints/step-%08d/manifest.json\" % step))[\"files\"])
assert s[\"saved\"] == 2 and s[\"failed\"] == 0 and s[\"last_bytes\"] == size(60) and s[\"bytes\"] == size(30) + size(60), s
assert 0 < s[\"last_write_s\"] <= s[\"longest_write_s\"] <= s[\"write_s\"] and 0 < s[\"lost_s\"] < s[\"session_s\"], s"'
cp -r run before-peak && sed -i 's/"peak_share": [0-9.e-]*, //' before-peak/metrics.jsonl
"$CLLM" report before-peak --out old.html >stdout
check "of a run that did not know it nothing is said" sh -c '! grep -q "of peak" old.html'
check "done" grep -q "<dd>done" run.html
check "nothing is written in the run" sh -c 'find run | sort | cmp -s - before'

cp -r run bad
sed -e 's/"preset": "[^"]*"/"preset": "<script>alert(1)<\/script>"/' run/run.json >bad/run.json
sed -e '5s/.*/{"step": 5, <b>/' -e 's/"event": "checkpoint"/"event": "<script>x"/' run/metrics.jsonl >bad/metrics.jsonl
printf '{"step": 60, "event": "sample", "text": "</pre><script>alert(2)</script>\\u0001\\u0000"}\n{"step": 61, "tok' >>bad/metrics.jsonl
printf '{' >bad/stats.json
"$CLLM" report bad --out bad.html >stdout
parses "a damaged run's page" bad.html "summary notices $sections"
check "settings are escaped" grep -q "&lt;script&gt;alert(1)&lt;/script&gt;" bad.html
check "samples too" grep -q "&lt;/pre&gt;&lt;script&gt;alert(2)" bad.html
check "the damaged line is named" grep -q "line 5 is left out: not valid JSON" bad.html
check "the torn one too" grep -q "has no end yet" bad.html
check "and the damaged statistics" grep -q "The spheres are not shown: bad/stats.json" bad.html
check "the rest is there" grep -q " 60:" bad.html
mkdir empty
cp run/run.json empty
"$CLLM" report empty --out empty.html >stdout
parses "an empty run's page" empty.html "summary notices $sections"
check "no step yet" grep -q "no step yet" empty.html

# Long runs keep their extremes: one step in 100 000 that is far above, one far below, one that is not finite.
mkdir long
cp run/run.json long
awk 'BEGIN { for (i = 1; i <= 100000; i++) {
    loss = i == 50123 ? "77.5" : i == 70001 ? "-33.25" : i == 80002 ? "null" : "2.5"
    print "{\"step\": " i ", \"tokens\": " i ", \"loss\": " loss ", \"lr\": 0.5, \"grad_norm\": 1.0}" } }' >long/metrics.jsonl
"$CLLM" report long --out long.html >stdout
check "the highest of 100 000" grep -q " 50123:77.5 " long.html
check "the lowest" grep -q " 70001:-33.25 " long.html
check "what is not finite" grep -q " 80002:-*nan " long.html
check "a page of a modest size" test "$(wc -c <long.html)" -lt 300000

"$CLLM" compare run twin >stdout
check "compare: same" test $? = 0
check "in words" grep -q "the runs are the same, bit by bit" stdout
check "the setting that differs all the same" grep -q "^  threads: 2, 1" stdout
"$CLLM" compare run other --out both.html >stdout
check "compare: different" test $? = 1
check "from the first step, in the rate" grep -q "differ from step 1 on: lr is " stdout
check "the setting behind it" grep -q "^  settings.lr: 0.001, 0.002" stdout
parses "the page of two" both.html "summary loss validation grad-norm lr speed"
sed -e '/"step": 41,/,$d' run/metrics.jsonl >twin/metrics.jsonl
check "a shorter run differs" sh -c '"$CLLM" compare run twin >stdout; test $? = 1 && grep -q "of step 41 only one has its line" stdout'
check "compare --json" sh -c '"$CLLM" compare run twin --json | grep -q "\"step\": 41"'

"$CLLM" export run --csv run.csv --tensorboard events >stdout
check "export" test $? = 0
check "a row for each step and a head" test "$(wc -l <run.csv)" = 61
check "validation in the row of its step" test "$(awk -F, 'NR > 1 && $6 != "" { print $1 }' run.csv | xargs)" = "20 40 60"
check "the loss of the last step, digit by digit" sh -c 'grep -q "\"step\": 60, \"tokens\": [0-9]*, \"loss\": $(awk -F, "END { print \$3 }" run.csv)," run/metrics.jsonl'
check "events" sh -c 'grep -q "brain.Event:2" events/events.out.tfevents.*.cllm'
"$CLLM" export run --tensorboard events >stdout
check "exported again, one file" test "$(ls events | wc -l)" = 1

check "--watch piped is one table" sh -c '"$CLLM" stats run --watch >w && "$CLLM" stats run | cmp - w'
if script -qec true /dev/null >/dev/null 2>&1; then
    script -qec "\"$CLLM\" stats run --watch; echo status=\$?" /dev/null >typed </dev/null
    check "--watch on a terminal ends with the run" grep -q "status=0" typed
    check "and draws in place" grep -q "$(printf '\033')\[H" typed
fi

refuses "report without a run" 2 "which run" report
refuses "report of no directory" 1 "nothing is no run directory" report nothing --out RUN
refuses "report of another directory" 1 "there is no run.json" report events --out RUN
refuses "report into no directory" 1 "none/r.html" report run --out none/r.html
refuses "compare of one" 2 "which runs" compare run
refuses "compare of none" 2 "nothing is no run directory" compare run nothing
refuses "export as nothing" 2 "as what" export run
refuses "export into a file" 1 "run.csv" export run --tensorboard run.csv
refuses "--watch and --json" 2 "give one of them" stats run --watch --json
