# The programs on another kind of machine: MIPS, which stores the greatest byte of a number first,
# as the network does, and whose long has 32 bits. A cross compiler builds them, qemu-mips runs them.
# Not here, since qemu 7.2 itself gets it wrong: SO_ERROR has the errno values of the host, and
# /proc/net/tcp its byte order (so 10-states does not find what it looks for there).
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, status: helpers.bash and bats set them
# shellcheck disable=SC2016 # "$0" and "$@" are for the shell that runs the script
load ../lib/helpers
gcc=mips-linux-gnu-gcc qemu=qemu-mips packages="qemu-user gcc-mips-linux-gnu libc6-dev-mips-cross"
load ../lib/other-machine

@test "it is such a machine; the bytes of a port are stored in network order as they are" {
    [[ $(od -An -t x1 -j 4 -N 2 "$BATS_FILE_TMPDIR/copy/bin/02-bind.other") == " 01 02" ]] # 32, MSB
    run -0 in_copy bin/02-bind 127.0.0.2:6666 </dev/null
    echo "$output"
    [[ $output == *"port 6666: bytes 1a 0a in network byte order, 1a 0a in this machine's memory"* ]]
    [[ $output == *" is 127.0.0.2:6666"* ]]
}

@test "a number that does not fit into 32 bits is not a port" {
    for number in 4294967376 2147483728 18446744073709551696; do
        run -2 in_copy bin/06-accept-one "127.0.0.1:$number"
        [[ $output == *"\"$number\" is not a port"* ]]
    done
}

@test "lessons 01, 05 and 06 pass their tests there" {
    in_copy timeout 60 bats tests/lessons/01-interfaces.bats tests/lessons/06-accept-one.bats
    in_copy timeout 60 bats -f 'a program listens|claim 9: the same over IPv6|4 MB' tests/lessons/05-connect.bats
}

@test "lesson 08: the two sides of every connection mirror each other" {
    in_copy bin/08-endpoints </dev/null >"$log/table"
    (($(grep -c ' mirror each other$' "$log/table") == 3))
}

@test "lesson 04: the tables as a kernel of that byte order writes them" {
    local timer='00:00000000 00000000  1000        0' end='1 0000000000000000 100 0 0 10 0'
    local one=00000000000000000000000000000001 two=20010DB8000000000000000000000002
    mkdir -p "$log/proc/net"
    cat >"$log/proc/net/tcp" <<END
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 7F000001:1A0A 00000000:0000 0A 00000000:00000000 $timer 101 $end
   1: C0A80065:C350 C0A80066:1A0A 01 00000000:00000000 $timer 102 $end
END
    cat >"$log/proc/net/tcp6" <<END
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: $one:1A0A $two:C351 08 00000000:00000005 $timer 103 $end
END
    sed "s#\"/proc#\"$log/proc#" lessons/04-ports-in-use/ports-in-use.c >"$log/ports.c"
    mips-linux-gnu-gcc -std=c17 -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64 -Icommon \
        -o "$log/ports" "$log/ports.c" common/*.c
    qemu-mips -L /usr/mips-linux-gnu "$log/ports" | tr -s ' ' >"$log/table"
    cat "$log/table"
    grep -q 'LISTEN 0 0 127.0.0.1:6666 none' "$log/table"
    grep -q 'ESTABLISHED 0 0 192.168.0.101:50000 192.168.0.102:6666' "$log/table"
    grep -q 'CLOSE_WAIT 5 0 \[::1\]:6666 \[2001:db8::2\]:50001' "$log/table"
}

@test "what make fuzz wants of the parsers holds there, for 500 inputs from each seed" {
    cat >"$log/main.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <stdint.h>
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int main(int argc, char **argv)
{
    uint8_t data[400];
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "r");
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        for (int n = 0; n < 500; n++, data[rand() % (int)size] ^= (uint8_t)(1 << rand() % 8))
            LLVMFuzzerTestOneInput(data, size);
    }
    printf("tried %d\n", argc - 1);
}
END
    for target in endpoint proc-net-tcp; do
        mips-linux-gnu-gcc -std=c17 -D_POSIX_C_SOURCE=200809L -O1 -Icommon -o "$log/$target" \
            "$log/main.c" "tests/slow/fuzz/$target.c"
        seeds=("tests/slow/fuzz/$target"/*)
        run -0 qemu-mips -L /usr/mips-linux-gnu "$log/$target" "${seeds[@]}"
        [[ ${lines[-1]} == "tried ${#seeds[@]}" ]]
    done
}
