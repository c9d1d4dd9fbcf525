# The slides: what stands there is what happens, nothing of the lecture is missing, and the figures
# are whole. How it all looks is tested in a browser: make test-slides.
# needs the machine to itself (tests/lib/run): port 6666, or a list of all sockets
load ../lib/helpers
load ../lib/accounts

deck=slides/slides.md

# slides SCRIPT   runs the Perl script for each slide. $n is its number; $head its title, $class,
# $footer, $notes what their names say, @kinds the lines that begin its blocks, $code the transcripts,
# $show how they are shown, $words all other text; $optional: is it for a longer lecture?
slides() {
    perl -0777 -ne '
        s/\A---\n.*?\n---\n//s;
        for (split /^---\n/m) {
            ++$n;
            my $all = $_;
            $notes = join "\n", grep { !/^\s*_/ } /<!--(.*?)-->/gs;
            ($class) = /_class: (.*?)(?: *-->)?$/m;
            $class //= "";
            $optional = $class =~ /optional/;
            ($footer) = /_footer: "(.*?)"/;
            s/<!--.*?-->//gs;
            @kinds = grep { defined } map { /^```(.*)$/ ? $1 : undef } split /\n/;
            $code = join "", /^```console.*?\n(.*?)^```$/gms;
            $show = join "", /^```show\n(.*?)^```$/gms;
            s/^```.*?^```$//gms;
            @heads = /^#+ (.*)$/gm;
            $head = $heads[0];
            s/^#.*$//gm;
            s/!\[[^\]]*\]\([^)]*\)//g;
            $words = $_;
            '"$1"'
        }
        ' "$deck"
}

# The footer of a slide: "claims 3, 4 · lesson 01-interfaces". Prints: CLAIM LESSON CLASSES, a line
# for each claim of each slide, in order.
claims() {
    # shellcheck disable=SC2016 # Perl's
    slides 'my ($numbers, $lesson) = $footer =~ /claims? ([\d, ]*\d).* lesson (\S+)/ or next;
        print "$_ $lesson $class\n" for split /, /, $numbers;'
}

@test "each transcript of the slides is played, and comes out as written" {
    run common/play --quiet "$deck"
    echo "$output"
    ((status == 0))
    all_accounted_for "$deck"
}

@test "each of the claims is on a slide, with a lesson that the table of claims names for it" {
    local n shown
    claims >"$log/claims"
    for ((n = 1; n <= 20; n++)); do
        shown=
        while read -r claim lesson _; do
            [[ $claim == "$n" ]] || continue
            echo "claim $n: $lesson"
            [[ -d lessons/$lesson ]]
            ! grep -E "^\| $n \| " lessons/README.md | grep -qF "($lesson/README.md)" || shown=yes
        done <"$log/claims"
        [[ -n $shown ]]
    done
    run ! grep -vE '^([1-9]|1[0-9]|20) ' "$log/claims"
}

@test "for each of the claims the notes tell what students think, at one of its slides at least" {
    # shellcheck disable=SC2016 # Perl's
    slides 'print "$footer\n" if $notes =~ /^Students think: .{20}/m' >"$log/mistakes"
    for n in {1..20}; do
        echo "claim $n"
        grep -qE "^claims? ([0-9]+, )*${n}[, ]" "$log/mistakes"
    done
}

@test "a claim is stated first, and where it is only roughly true, a later slide shows how" {
    local n
    claims >"$log/claims"
    for ((n = 1; n <= 20; n++)); do
        awk -v n="$n" '$1 == n && !/question/' "$log/claims" >"$log/of-it"
        echo "claim $n: $(xargs <"$log/of-it")"
        [[ $(head -n 1 "$log/of-it") != *exception* ]]
        # in the table the exception stands in brackets
        if grep -E "^\| $n \| [^|]*\(" lessons/README.md; then
            grep -q exception "$log/of-it"
        fi
    done
}

@test "every lesson that exists is named by a slide" {
    # shellcheck disable=SC2016 # Perl's
    slides 'print "$1\n" if $footer =~ /lesson (\S+)/' | sort -u >"$log/named"
    local lesson missing=""
    for lesson in lessons/*/; do
        lesson=$(basename "$lesson")
        grep -qxF "$lesson" "$log/named" || missing+="lesson $lesson: no slide of $deck has\
 \"lesson $lesson\" in its _footer"$'\n'
    done
    echo "$missing"
    [[ -z $missing ]]
}

@test "a slide has one title, at most some 20 words, 11 lines in its panes, and speaker notes" {
    # shellcheck disable=SC2016 # Perl's
    run slides '
        sub wrong { print "slide $n ($head): @_\n" }
        wrong scalar(@heads) . " titles" if @heads != 1;
        my @w = $words =~ /\w\S*/g;
        wrong scalar(@w) . " words" if @w > ($class =~ /question/ ? 30 : 20) && $class !~ /recap/;
        # what is not shown: lines that do not matter, closing keys, exit statuses, a lone Enter
        my @hide = $show =~ /^hide: (.*)$/gm;
        my @lines = grep {
            my $line = $_;
            !/^.(\^|\?|>\s*$|\| \.\.\.$)/ && !grep { index($line, $_) >= 0 } @hide
        } split /\n/, $code;
        wrong scalar(@lines) . " lines" if @lines > 11;
        wrong "an unknown block, $_" for grep { !/^(console.*|show|code .*|cards|)$/ } @kinds;
        wrong "no line is marked as the key" if $code && $show !~ /^key: /m;
        wrong "no notes" if $notes !~ /^\s*(Time: .*\n\n)?Say: .{20}/;
        wrong "nothing to run" if $footer && $notes !~ /^(Run|Look)\b.*: /m;
        my $says = $head =~ /^Not quite: /;
        my $is = $class =~ /exception/;
        wrong "it is an exception, and the title does not say so" if $is != $says;
        my $known = qr/^((claims? \d+(, \d+)* · )?lesson \d\d-[-a-z]+)?$/;
        wrong "its last line: $footer" if $footer !~ $known;'
    echo "$output"
    ((status == 0))
    [[ -z $output ]]
}

@test "eight questions, each with its answer on the next slide" {
    # shellcheck disable=SC2016 # Perl's
    slides '
        $questions++ if $class =~ /question/;
        print "slide $n ($head) is not between a question and what follows\n"
            if ($class =~ /answer/) != ($before =~ /question/);
        # the title of an answer says which one is right: "B: ..."
        print "slide $n ($head) does not begin with the letter of an answer\n"
            if $class =~ /answer/ && !($head =~ /^([A-Z]): / && $choices =~ /^- \*\*$1\*\* /m);
        ($before, $choices) = ($class, $words);
        END { print "$questions questions\n" if $questions != 8 }' >"$log/wrong"
    cat "$log/wrong"
    [[ ! -s $log/wrong ]]
}

# A minute for 130 words that are spoken, one for each question, half a one for each transcript.
@test "the notes give the minutes of each part; all fit into 90, and the core into 50" {
    # shellcheck disable=SC2016 # Perl's
    slides '
        sub check {
            my ($told) = $time =~ /^(.*)\.$/;
            my $have = $core ? sprintf("core %.0f minutes, all %.0f minutes", $core, $whole)
                : sprintf("all %.0f minutes", $whole);
            print "$part: the notes say \"$told\"; it is $have\n" if $part && $told ne $have;
            $core_sum += $core; $all_sum += $whole; $core = $whole = 0;
        }
        if ($class =~ /\bpart\b/) { check(); $part = $head; ($time) = $notes =~ /^Time: (.*)$/m; }
        my $spoken = join " ", $notes =~ /^(?:Say|Students think): (.*?)(?:\n\n|\z)/gms;
        my @w = split " ", $spoken;
        my $minutes = @w / 130 + ($class =~ /question/) + ($code ? 0.5 : 0);
        $whole += $minutes;
        $core += $minutes if !$optional;
        $slides[$optional ? 1 : 0]++;
        END {
            check();
            printf "the core: %.0f minutes, all: %.0f; %d slides and %d optional ones\n", $core_sum, $all_sum, @slides;
            print "too long\n" if $core_sum > 50 || $all_sum > 90;
        }' >"$log/minutes"
    cat "$log/minutes"
    [[ $(wc -l <"$log/minutes") == 1 ]]
}

@test "each figure that JSON describes is drawn anew from it, and is not stale" {
    command -v node >/dev/null || skip "there is no node here (make test-slides has this test, too)"
    run node slides/figures.mjs --check
    echo "$output"
    ((status == 0))
}

@test "the tests' own reading of the slides: as many as there are between the lines" {
    # shellcheck disable=SC2016 # Perl's
    [[ $(slides 'print "$n\n"' | tail -n 1) == $(($(grep -c '^---$' "$deck") - 1)) ]]
}

@test "each figure is well-formed, has a title and a description, and nothing from elsewhere" {
    local size='viewBox="0 0 1280 [0-9]+"' labels='role="img" aria-labelledby="[-0-9a-z]+-title [-0-9a-z]+-desc"'
    run -0 perl tests/lib/well-formed.pl slides/figures/*.svg
    for figure in slides/figures/*.svg; do
        echo "$figure"
        tr -s '\n ' ' ' <"$figure" >"$log/figure"
        grep -qE "^<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"(picture|bench)\" $size $labels" "$log/figure"
        grep -qE '<title id="[-0-9a-z]+-title">[^<]{8,}</title> ?<desc id="[-0-9a-z]+-desc">[^<]{40,}</desc>' "$log/figure"
        grep -qF 'prefers-color-scheme' "$figure"
        run ! grep -nE '<(script|image|foreignObject)|href=|@import|url\([^#]' "$figure"
    done
}

@test "each snapshot of a figure says where it comes from, and why if the kernel did not say it" {
    jq -r '(.frames // [.])[] as $f | ($f.source // .source) as $s | ($f.why // .why // "") as $w |
        select(($s != "recorded") and ($s != "described" or ($w | length) < 20)) | input_filename + " " + $f.figure' \
        slides/figures/*.json >"$log/wrong"
    cat "$log/wrong"
    [[ ! -s $log/wrong ]]
}

@test "each figure is shown by a slide or a lesson, and each that is shown is there" {
    # a picture's text may go over several lines
    perl -0777 -ne 'print "$2\t$1\n" =~ s/\n(?=.)/ /gr while /!\[([^\]]*)\]\(([^)]*)\)/g' \
        "$deck" lessons/*/README.md >"$log/shown"
    while IFS=$'\t' read -r figure text; do
        echo "$figure: $text"
        [[ -f slides/figures/${figure##*/} ]]
        ((${#text} >= 40)) # what it shows, for those who cannot see it
    done <"$log/shown"
    for figure in slides/figures/*.svg; do
        echo "$figure"
        grep -qE "^(\.\./\.\./slides/)?figures/${figure##*/}"$'\t' "$log/shown"
    done
    for page in lessons/{0?,10}-*/README.md; do
        echo "$page"
        sed '/^## Investigate/Q' "$page" | grep -zqE '!\[[^]]*\]\(\.\./\.\./slides/figures/'
    done
}
