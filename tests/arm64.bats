# The programs on 64-bit ARM, as in Apple's computers and the Raspberry Pi: a cross compiler builds
# them, qemu-aarch64 runs them, and the player plays the lessons' transcripts with them.
# shellcheck disable=SC2154,SC2030,SC2031 # log, status: helpers.bash and bats set them
load helpers
gcc=aarch64-linux-gnu-gcc qemu=qemu-aarch64 packages="qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
load other-machine

@test "it is such a machine" {
    [[ $(od -An -t x1 -j 18 -N 2 "$BATS_FILE_TMPDIR/copy/bin/02-bind.other") == " b7 00" ]] # EM_AARCH64
}

@test "all transcripts of the lessons come out as written, but for those of strace" {
    # strace would show the calls of qemu, and not those of the program.
    mkdir "$log/tools"
    printf '#!/bin/sh\nexit 1\n' >"$log/tools/strace"
    chmod +x "$log/tools/strace"
    run in_copy env PATH="$log/tools:$PATH" tests/play --quiet lessons/*/README.md
    echo "$output"
    ((status == 0))
    [[ $output != *"the lab"* || $output == *strace* ]]
}
