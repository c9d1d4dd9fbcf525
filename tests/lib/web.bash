# web.bash: the server of lesson 12, started for each test, and requests to it. For the bats files that
# load it after peers.bash.
# shellcheck shell=bash disable=SC2154 # at, pid: helpers.bash
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's

web=$at # the server that is asked: see http
setup() {
    start server bin/12-picture "$at"
    server=$pid
    saw server '^open in a browser: '
}

# http LINE...   sends a request of these lines, and the empty line at its end; prints all that comes
# back until the server at $web has finished, with \n as the end of a line.
http() {
    local request
    printf -v request '%s\r\n' "$@" ""
    raw "$request"
}
raw() { # BYTES
    AT=$web perl -Itests/lib -MPeer -e 'alarm 5; $_ = talk(connected(), $ARGV[0]); tr/\r//d; print' "$1"
}
get() { # TARGET   prints the body of the answer
    http "GET $1 HTTP/1.1" "Host: $web" | sed '1,/^$/d'
}

# answers <<END   does the server at $web answer each of these requests with its status? Each is a line
# STATUS|LINE|LINE..., all of the same server and each on a connection of its own.
answers() {
    AT=$web perl -Itests/lib -MPeer -e 'alarm 5; while (<STDIN>) {
        chomp; my ($status, @lines) = split /\|/;
        my $said = talk(connected(), join "", map { "$_\r\n" } @lines, "");
        die "expected $status: $_\nnot: ", $said =~ /(.*)/, "\n" if $said !~ m{^HTTP/1.1 $status }; }'
}
serves() {
    answers <<<"200|GET /page.css HTTP/1.1|Host: $web"
}
