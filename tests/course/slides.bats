# The slides: what stands there is what happens, nothing of the lecture is missing, and the figures
# are whole. How it all looks is tested in a browser: make test-slides.
load ../lib/helpers
load ../lib/accounts

deck=slides/slides.md

# slides SCRIPT   runs the Perl script for each slide. $n is its number; $head its title, $class,
# $footer, $notes what their names say, $code the transcripts, $words all other text.
slides() {
    perl -0777 -ne '
        s/\A---\n.*?\n---\n//s;
        for (split /^---\n/m) {
            ++$n;
            my $all = $_;
            $notes = join "\n", grep { !/^\s*_/ } /<!--(.*?)-->/gs;
            ($class) = /_class: (\w+)/;
            ($footer) = /_footer: "(.*?)"/;
            s/<!--.*?-->//gs;
            $code = join "", /^```console.*?\n(.*?)^```$/gms;
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

# The footer of a slide: "claims 3, 4 · lesson 01-interfaces". Prints: CLAIM LESSON CLASS, a line
# for each claim of each slide, in order.
claims() {
    # shellcheck disable=SC2016 # Perl's
    slides 'my ($numbers, $lesson) = $footer =~ /claims? ([\d, ]*\d).* lesson (\S+)/ or next;
        print "$_ $lesson ", $class // "-", "\n" for split /, /, $numbers;'
}

@test "each transcript of the slides is played, and comes out as written" {
    run -0 common/play --quiet "$deck"
    echo "$output"
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

@test "a claim is stated first, and where the table says that it bends, a later slide shows how" {
    local n
    claims >"$log/claims"
    for ((n = 1; n <= 20; n++)); do
        echo "claim $n: $(grep "^$n " "$log/claims" | cut -d ' ' -f 3 | xargs)"
        [[ $(grep -m 1 "^$n " "$log/claims") != *" bends" ]]
        # in the table the exception stands in brackets
        if grep -E "^\| $n \| [^|]*\(" lessons/README.md; then
            grep -q "^$n .* bends$" "$log/claims"
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

@test "a slide has one title, at most some 20 words and 16 lines of transcript, and speaker notes" {
    # shellcheck disable=SC2016 # Perl's
    run slides '
        sub wrong { print "slide $n ($head): @_\n" }
        wrong scalar(@heads) . " titles" if @heads != 1;
        my @w = $words =~ /\w\S*/g;
        wrong scalar(@w) . " words" if @w > 20;
        my @lines = split /\n/, $code;
        wrong scalar(@lines) . " lines" if @lines > 16;
        length > 100 and wrong "a line of " . length . " characters" for @lines;
        wrong "no notes" if $notes !~ /^\s*Say: .{20}/;
        wrong "nothing to run" if $footer && $notes !~ /^(Run|Look)\b.*: /m;
        my $says = $head =~ /^It bends: /;
        wrong "it bends, and the title does not say so" if ($class eq "bends") != $says;
        my $known = qr/^((claims? \d+(, \d+)* · )?lesson \d\d-[-a-z]+)?$/;
        wrong "its last line: $footer" if $footer !~ $known;'
    echo "$output"
    ((status == 0))
    [[ -z $output ]]
}

@test "the tests' own reading of the slides: as many as there are between the lines" {
    # shellcheck disable=SC2016 # Perl's
    [[ $(slides 'print "$n\n"' | tail -n 1) == $(($(grep -c '^---$' "$deck") - 1)) ]]
}

@test "each figure is well-formed, has a title and a description, and nothing from elsewhere" {
    local size='viewBox="0 0 [0-9]+ [0-9]+"' labels='role="img" aria-labelledby="title desc"'
    run -0 perl tests/lib/well-formed.pl slides/figures/*.svg
    for figure in slides/figures/*.svg; do
        echo "$figure"
        tr -s '\n ' ' ' <"$figure" >"$log/figure"
        grep -qE "^<svg xmlns=\"http://www.w3.org/2000/svg\" $size $labels>" "$log/figure"
        grep -qE '<title id="title">[^<]{8,}</title> <desc id="desc">[^<]{40,}</desc>' "$log/figure"
        grep -qF 'prefers-color-scheme: dark' "$figure"
        run ! grep -nE '<(script|image|foreignObject)|href=|@import|url\([^#]' "$figure"
    done
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
