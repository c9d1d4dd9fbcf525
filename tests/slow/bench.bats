# common/bench, which `make bench` runs, and what lesson 12 costs: they measure for seconds, so .ci/run has this file.
# shellcheck disable=SC2154 # log, output: helpers.bash and bats set them
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's
load ../lib/helpers
load ../lib/peers

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

@test "common/bench refuses what is not a number, and a command line without numbers" {
    for arguments in "" "$log/x.svg" "$log/x.svg 1" "$log/x.svg 0 5" "$log/x.svg 1 5 x"; do
        read -ra words <<<"$arguments"
        run -2 common/bench "${words[@]}"
        [[ $output == "usage: common/bench "* ]]
    done
    [[ ! -e $log/x.svg ]]
}

@test "12: 10,000 sockets: a look costs more, so it looks less often, and stays under 10 % of a core" {
    start server bin/12-picture "$at"
    server=$pid
    saw server '^open'
    ! grep -q fsanitize bin/compile || skip "with SANITIZE=1 a look costs ten times as much"
    ulimit -Sn "$(ulimit -Hn)"
    (($(ulimit -Sn) >= 5000)) || skip "the hard limit of descriptors is $(ulimit -Hn)"
    export AT=127.0.0.1:$((port + 1))
    start crowd-server bin/11-ten-thousand --quiet "$AT"
    saw crowd-server '^listen'
    start crowd bin/11-crowd --clients 5000 --active 1 --seconds 60 "$AT"
    saw crowd '^connected: 5000'
    AT=$at peer watcher 'my $s = connected(); put($s, "GET /events HTTP/1.1\r\nHost: $ENV{AT}\r\n\r\n");
        while (sysread $s, $_, 1e6) { print /"time":/g ? "some\n" : "" }'
    # The time that it has run and the time that has passed, in ns, from one snapshot to another.
    [[ -e /proc/self/schedstat ]] || skip "this kernel does not count the time that a process has run"
    both() { read -r ran _ <"/proc/$server/schedstat" && now=${EPOCHREALTIME/./}000; }
    saw watcher some
    both
    ran_before=$ran before=$now
    lines_of watcher some
    saw watcher some $((REPLY + 2))
    both
    echo "$((ran - ran_before)) ns of $((now - before))"
    ((ran - ran_before < (now - before) / 10))
}
