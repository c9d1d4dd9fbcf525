# other-machine.bash: the programs built for another kind of machine by a cross compiler, and run by
# qemu, for the bats files that load it. They set gcc (mips-linux-gnu-gcc), qemu (qemu-mips) and
# packages (what to install) first.
# shellcheck shell=bash disable=SC2154 # gcc, qemu, packages: the bats file sets them

# in_copy COMMAND...   where bin has the programs of the other machine, and without the flags of the
# make that may have called this test.
in_copy() {
    (cd "$BATS_FILE_TMPDIR/copy" && env -u MAKEFLAGS -u MFLAGS -u SANITIZE "$@")
}

installed() {
    command -v "$gcc" >/dev/null && command -v "$qemu" >/dev/null
}

# Each program of the copy, bin/02-bind, becomes a script that has qemu run bin/02-bind.other, under
# the name of the program: that is what ss and lesson 04 show of it.
setup_file() {
    installed || return 0
    local copy=$BATS_FILE_TMPDIR/copy program
    mkdir "$copy"
    cp -r Makefile README.md common lessons tests "$copy"
    in_copy make -s CC="$gcc" CFLAGS="-O2 -Werror"
    mkdir "$copy/bin/qemu"
    for program in "$copy"/bin/[0-9]*; do
        [[ $program != *.d ]] || continue
        program=$(basename "$program")
        in_copy mv "bin/$program" "bin/$program.other"
        in_copy ln -s "$(command -v "$qemu")" "bin/qemu/$program"
        printf '#!/bin/bash\nexec bin/qemu/%s -L /usr/%s -0 bin/%s bin/%s.other "$@"\n' \
            "$program" "${gcc%-gcc}" "$program" "$program" >"$copy/bin/$program"
        in_copy chmod +x "bin/$program"
    done
}

setup() {
    installed || skip "not installed: $packages"
}
