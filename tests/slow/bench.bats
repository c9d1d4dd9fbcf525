# common/bench, which `make bench` runs: it measures for seconds, so .ci/run has this file.
# shellcheck disable=SC2154 # log, output: helpers.bash and bats set them
load ../lib/helpers

@test "common/bench: a table, a chart in characters, and the same numbers in an SVG" {
    run common/bench "$log/bench.svg" 1 5 20
    echo "$output"
    ((status == 0))
    [[ ${lines[0]} == *", $(nproc) core"*", Linux $(uname -r | cut -d - -f 1); "* ]]
    for clients in 5 20; do
        read -r _ rate us _ _ rate11 us11 _ < <(grep -E "^ +$clients " <<<"$output")
        awk -v r="$rate" -v u="$us" -v s="$rate11" -v v="$us11" 'BEGIN {
            exit !(r > 100 && s > 100 && u > .2 && v > .2 && u * r < 1.1e6 && v * s < 1.1e6) }'
        grep -qx " *$clients clients: poll $us, epoll $us11\." "$log/bench.svg"
    done
    # (One row, where both cost the same with either number of clients.)
    (($(grep -cE '^ *[0-9.]* \|.*[pe*]' <<<"$output") >= 1))
    # A line of two points each, which stand as high as their numbers say.
    perl -e 'undef $/; $_ = <STDIN>; 
        my ($axis) = /class="axis" d="M\d+ \d+ V(\d+) H/;
        my ($d) = /<desc[^>]*>(.*?)<\/desc>/s; my %us;
        push @{$us{poll}}, $1 and push @{$us{epoll}}, $2
            while $d =~ /poll ([\d.]+), epoll ([\d.]+\d)/g;
        my @scale;
        for my $c ("poll", "epoll") {
            my ($path) = /<path class="$c" d="([^"]*)"/ or die "no $c";
            my @p = $path =~ /[ML ]+([\d.]+) ([\d.]+)/g;
            @p == 4 && $p[0] < $p[2] or die "@p";
            push @scale, ($axis - $p[1]) / $us{$c}[0], ($axis - $p[3]) / $us{$c}[1];
        }
        abs($_ / $scale[0] - 1) < 0.05 or die "@scale" for @scale;
        my %open; # every element is closed
        $2 || $open{$1}++ while /<(\w+)(?:[^>"]|"[^"]*")*?(\/?)>/g; $open{$1}-- while /<\/(\w+)>/g;
        !grep { $_ } values %open or die %open;' <"$log/bench.svg"
    grep -q '<title id="bench-title">' "$log/bench.svg"
}

@test "common/bench refuses what is no number, and no numbers at all" {
    for arguments in "" "$log/x.svg" "$log/x.svg 1" "$log/x.svg 0 5" "$log/x.svg 1 5 x"; do
        read -ra words <<<"$arguments"
        run -2 common/bench "${words[@]}"
        [[ $output == "usage: common/bench "* ]]
    done
    [[ ! -e $log/x.svg ]]
}
