# The steps of a lab that a shell does best. Lab and Host call them: bash machines.sh STEP, with settings in the
# environment.
set -eu

# The network, and the laptop's view of the disk. Lasts until standard input ends: this is process 1 of a process
# namespace, so everything in the lab ends with it.
lan() {
    ip link set lo up
    ip link add lan address 02:00:00:00:00:01 type bridge # a bridge without a fixed one changes it as machines leave
    ip address add "$ADDRESS/24" dev lan
    ip link set lan up
    mount -t tmpfs -o mode=755 disks "$FOLDER/disks"
    mount --bind "$FOLDER/passwd" /etc/passwd
    mount --bind "$FOLDER/hosts" /etc/hosts
    mount --bind "$FOLDER/resolv.conf" /etc/resolv.conf
    echo ready
    exec cat > /dev/null
}

# A machine's disk, which outlives a loss of power; then the machine.
boot() {
    if ! mountpoint --quiet "$DISK"; then
        mkdir -p "$DISK"
        mount -t tmpfs -o "mode=755,size=${DISK_MIB}m" disk "$DISK"
        mkdir "$DISK/changes" "$DISK/work" "$DISK/root"
    fi
    exec 3< /proc/self/ns/net # of the network
    exec unshare --net --mount --uts --ipc --pid --fork --kill-child bash "$0" machine
}

machine() {
    in_lan() { nsenter --net=/proc/self/fd/3 ip link "$@"; }
    in_lan delete "$PORT" 2> /dev/null || true # of the same machine before it lost power
    in_lan add "$PORT" type veth peer name eth0 address "$MAC" netns 1
    in_lan set "$PORT" master lan up
    exec 3<&-
    ip link set lo up
    ip address add "$ADDRESS/24" dev eth0
    ip link set eth0 up
    ip route add default dev eth0 # leads nowhere; without one Ray takes 127.0.0.1 for the machine's address
    hostname "$NAME"

    local root="$DISK/root"
    mount -t overlay -o "lowerdir=/,upperdir=$DISK/changes,workdir=$DISK/work" root "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount -t tmpfs -o mode=755 run "$root/run"
    mount -t tmpfs -o "mode=1777,size=${DISK_MIB}m" tmp "$root/tmp"
    devices "$root/dev"
    mount --bind "$FOLDER/hosts" "$root/etc/hosts"
    mount --bind "$FOLDER/resolv.conf" "$root/etc/resolv.conf"
    mkdir -p "$root/run/sshd" "$root/root/.ssh" "$root/root/.ray" # of this machine's user they show nothing
    mount -t tmpfs -o mode=700 ssh "$root/root/.ssh"
    mount -t tmpfs -o mode=700 ray "$root/root/.ray"
    while read -r shown; do # what is not on the disk of the root
        mkdir -p "$root$shown"
        mount --bind -o ro "$shown" "$root$shown"
    done < "$FOLDER/shown"
    while read -r shared; do # a folder of the laptop that all machines write to
        mkdir -p "$root$shared"
        mount --bind "$shared" "$root$shared"
    done < "$FOLDER/shared"

    read -r process _ < /proc/self/stat
    echo "$process" > "$FOLDER/$NAME.new"
    mv "$FOLDER/$NAME.new" "$FOLDER/$NAME.pid"
    exec env -i HOME=/root PATH="$PATH" PUBLIC_KEY="$PUBLIC_KEY" SETTINGS="$SETTINGS" \
        chroot "$root" bash -c "$(declare -f serve); serve"
}

devices() {
    mount -t tmpfs -o mode=755 dev "$1"
    for name in null zero full random urandom tty; do
        touch "$1/$name"
        mount --bind "/dev/$name" "$1/$name"
    done
    mkdir "$1/shm" "$1/pts"
    mount -t tmpfs -o mode=1777 shm "$1/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 pts "$1/pts"
    ln -s pts/ptmx "$1/ptmx"
    ln -s /proc/self/fd "$1/fd"
}

# Within the machine, as its process 1, which reaps orphans.
serve() {
    set -eu
    local own=/etc/ssh/lab
    if [ ! -f "$own/key" ]; then # the disk is new
        usermod -p '*' root # sshd refuses a locked account
        mkdir -p "$own"
        echo "$PUBLIC_KEY" > "$own/authorized_keys"
        ssh-keygen -q -t ed25519 -N "" -f "$own/key"
    fi
    cd /
    /usr/sbin/sshd -D -f /dev/null -E /var/log/sshd.log -h "$own/key" -o "AuthorizedKeysFile=$own/authorized_keys" \
        -o PidFile=/run/sshd.pid -o UsePAM=no -o PasswordAuthentication=no -o UseDNS=no ${SETTINGS:+-o "SetEnv=$SETTINGS"} &
    wait
}

"$1"
