# place.bash: what the place where we are can show, for the player of transcripts and for the tests.
# A container, say, may have no IPv6 address, or let nobody trace a program. What needs one of
# these is then left out, and counted, and the reason is printed with what to do about it:
#
#   ipv6       the address ::1, by which this machine reaches itself
#   lab        the PCs of common/lab
#   low-ports  ports below 1024 need privilege
#   network    a network namespace to itself, so that nobody else's sockets are to be seen in it
#   netem      a part of the kernel that loses, repeats and delays packets as it is told
#   strace     strace may look at the calls of a program
#   curl       the command curl
#   netstat    the command netstat
# shellcheck shell=bash

place_words=(ipv6 low-ports netem network strace lab curl netstat)

# lacks WORD   is that missing here? If so, REPLY says why, and what to do, in one sentence.
lacks() {
    local limit said
    case $1 in
        ipv6) # one of two answers has come by ::1: here is a program (at port 9), or here is none
            REPLY=$({ : <>/dev/tcp/::1/9; } 2>&1) || :
            [[ -n $REPLY && $REPLY != *refused* ]] || return 1
            REPLY="there is no address ::1 here (IPv6 is off; for a container, switch it on with"
            REPLY+=" --sysctl net.ipv6.conf.all.disable_ipv6=0)"
            ;;
        lab)
            ! said=$("${BASH_SOURCE[0]%/*}/lab" check 2>&1) || return 1
            lacks network || REPLY=$(printf %s "$said" | tr -s '\n ' '; ')
            ;;
        low-ports)
            limit=$(</proc/sys/net/ipv4/ip_unprivileged_port_start)
            ((limit != 1024)) || return 1
            REPLY="the first port that needs no privilege is $limit here, and not 1024 (for a container,"
            REPLY+=" change it with --sysctl net.ipv4.ip_unprivileged_port_start=1024)"
            ;;
        netstat)
            [[ -z $(type -P netstat) ]] || return 1
            REPLY="there is no netstat here (sudo apt-get install -y net-tools)"
            ;;
        netem)
            ! lacks network || return 0
            local PATH=$PATH:/usr/sbin:/sbin # tc may be there
            ! unshare --net tc qdisc add dev lo root netem 2>/dev/null || return 1 # as root
            ! unshare --user --map-root-user --net tc qdisc add dev lo root netem 2>/dev/null || return 1
            REPLY="this kernel cannot lose or delay packets for us, it has no netem (try: sudo modprobe"
            REPLY+=" sch_netem)"
            ;;
        network)
            [[ ${PLAYED_IN-} != in* ]] || return 1
            REPLY="this system does not let us make network namespaces (Ubuntu: sudo sysctl"
            REPLY+=" kernel.apparmor_restrict_unprivileged_userns=0, or sudo make tour; a container:"
            REPLY+=" start it with --privileged)"
            ;;
        strace)
            ! strace -qq -o /dev/null true 2>/dev/null || return 1
            REPLY="strace may not look at programs here (for a container, allow it with"
            REPLY+=" --cap-add SYS_PTRACE; else see /proc/sys/kernel/yama/ptrace_scope)"
            ;;
        curl)
            ! command -v curl >/dev/null || return 1
            REPLY="the command curl is missing here (sudo apt-get install curl)"
            ;;
        *)
            REPLY="there is no such need as '$1'"
            ;;
    esac
}
