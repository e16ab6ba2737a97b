#!/bin/sh
# Make a guest's disk from installed programs and a kernel package.
#
#   build.sh SOURCE RESULT PACKAGE...
#
# SOURCE has files/ and modules.txt. RESULT gets guest.qcow2 and var/lib/dpkg/status, which says what
# is inside. The disk has two partitions: FAT for the boot loader, and ext4 for the system, so that
# a snapshot of a guest holds what the guest wrote.
set -eu
source=$1 result=$2
shift 2
work=$(mktemp -d)
root=$work/root initrd=$work/initrd
mkdir -p "$result/var/lib/dpkg"
for place in "$root" "$initrd"; do
    mkdir -p "$place/usr/bin" "$place/usr/lib" "$place/usr/lib64"
    mkdir -p "$place/proc" "$place/sys" "$place/dev" "$place/run" "$place/root"
    ln -s usr/bin "$place/bin"
    ln -s usr/bin "$place/sbin"
    ln -s usr/lib "$place/lib"
    ln -s usr/lib64 "$place/lib64"
    ln -s bin "$place/usr/sbin"
done

# add PLACE PROGRAM: copy a program with the libraries that it links.
add() {
    cp -L "$(command -v "$2")" "$1/usr/bin/"
    ldd "$(command -v "$2")" | grep -oE '/[^ ]+\.so[^ ]*' | while read -r library; do
        mkdir -p "$1$(dirname "$library")"
        cp -L -n "$library" "$1$library"
    done
}

# The kernel: only unpacked. Its package pulls in tools that make an initrd of another kind.
cd "$work"
metapackage=$(printf '%s\n' "$@" | grep '^linux-image-')
kernel=$(apt-cache depends "$metapackage" | sed -n 's/ *Depends: \(linux-image-[0-9].*\)/\1/p')
modules=$(apt-cache depends "$kernel" | sed -n 's/ *Depends: \(linux-modules-[0-9].*\)/\1/p')
apt-get download "$kernel" $modules
for package in ./*.deb; do
    dpkg-deb -x "$package" kernel
    { dpkg-deb -f "$package" Package Version Architecture && echo "Status: install ok installed" &&
        echo; } >> "$result/var/lib/dpkg/status"
done
for package in "$@"; do
    [ "$package" = "$metapackage" ] || { dpkg-query -s "$package" && echo; }
done >> "$result/var/lib/dpkg/status"
version=$(ls kernel/lib/modules)
depmod -b "$work/kernel" "$version"

# The initrd: what finds the system's partition.
add "$initrd" busybox
for applet in $(busybox --list | grep -vx busybox); do
    ln -s busybox "$initrd/bin/$applet"
    ln -s busybox "$root/bin/$applet"
done
mkdir "$initrd/modules"
while read -r module; do
    modprobe -d "$work/kernel" -S "$version" --show-depends "$module" |
        sed -n 's/^insmod \([^ ]*\).*/\1/p'
done < "$source/modules.txt" | awk '!seen[$0]++' | while read -r path; do
    name=$(basename "$path" | sed 's/\.ko.*//')
    case $path in
    *.zst) zstd -qd "$path" -o "$initrd/modules/$name.ko" ;;
    *.xz) xz -dc "$path" > "$initrd/modules/$name.ko" ;;
    *) cp "$path" "$initrd/modules/$name.ko" ;;
    esac
    echo "$name" >> "$initrd/modules/order"
done
install -m 0755 "$source/files/init" "$initrd/init"

# The system. Programs of their own take the place of BusyBox's applets where tests need more.
add "$root" busybox
for program in blkid curl dropbear lsblk mke2fs ping; do
    rm -f "$root/bin/$program"
    add "$root" "$program"
done
for kind in ext2 ext3 ext4; do
    ln -s mke2fs "$root/bin/mkfs.$kind"
done
ln -s mkdosfs "$root/bin/mkfs.vfat"
mkdir -p "$root/etc/acpi/PWRF" "$root/etc/dropbear" "$root/home/cirros" "$root/mnt" \
    "$root/srv/www" "$root/tmp" "$root/usr/share/udhcpc" "$root/var"
cp /etc/mke2fs.conf "$root/etc/"
ln -s /run "$root/var/run"
chmod 0700 "$root/root" "$root/home/cirros"
chmod 1777 "$root/tmp"
# Both are the same user: there is nothing in this guest to protect from its own login.
printf '%s\n' root:x:0:0:root:/root:/bin/sh cirros:x:0:0:guest:/home/cirros:/bin/sh > "$root/etc/passwd"
printf '%s\n' 'root:*:19000:0:99999:7:::' 'cirros:*:19000:0:99999:7:::' > "$root/etc/shadow"
chmod 0600 "$root/etc/shadow"
echo root:x:0: > "$root/etc/group"
echo /bin/sh > "$root/etc/shells"
install -m 0644 "$source/files/inittab" "$root/etc/inittab"
install -m 0755 "$source/files/rc" "$root/etc/rc"
install -m 0755 "$source/files/network" "$source/files/metadata" "$root/bin/"
install -m 0755 "$source/files/mkfs" "$source/files/sudo" "$root/bin/"
install -m 0755 "$source/files/power" "$root/etc/acpi/PWRF/00000080"
install -m 0755 "$source/files/default.script" "$root/usr/share/udhcpc/default.script"
mkdir -p "$root/etc/udhcpc"
ln -s /usr/share/udhcpc/default.script "$root/etc/udhcpc/default.script"

# The disk. Owners are root's: mke2fs copies the folder as it is.
(cd "$initrd" && find . | sort | cpio --quiet -o -H newc) | gzip -9n > "$work/initrd.gz"
truncate -s 24M boot.raw
mkfs.vfat -n GUEST-BOOT boot.raw > /dev/null
mcopy -i boot.raw "kernel/boot/vmlinuz-$version" ::/vmlinuz
mcopy -i boot.raw initrd.gz "$source/files/syslinux.cfg" ::/
syslinux --install boot.raw
mke2fs -q -t ext4 -L guest-root -m 0 -d "$root" system.raw 144M
truncate -s 170M disk.raw
printf '%s\n' 'start=2048,size=24M,type=6,bootable' 'size=144M,type=83' | sfdisk -q disk.raw
dd if=/usr/lib/syslinux/mbr/mbr.bin of=disk.raw conv=notrunc bs=440 count=1 status=none
dd if=boot.raw of=disk.raw bs=1M seek=1 conv=notrunc status=none
dd if=system.raw of=disk.raw bs=1M seek=25 conv=notrunc status=none
qemu-img convert -c -O qcow2 disk.raw "$result/guest.qcow2"
rm -rf "$work"
