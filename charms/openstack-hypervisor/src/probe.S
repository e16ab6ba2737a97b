/* The probe guest: what a kernel does first, in one boot sector.
 *
 * That /dev/kvm can be opened, or that a BIOS runs, proves nothing: some hosts run a BIOS and fail
 * at the first kernel. This goes from real mode into long mode with paging, takes an exception
 * and returns from it, goes to user mode, counts there with SSE, comes back by a system call, and
 * tells QEMU's debug-exit device.
 *
 * host.py holds the result: gcc -c probe.S && ld -Ttext 0x7c00 --oformat binary probe.o
 */
    .code16
    .globl _start
_start:
    cli
    cld
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    inb $0x92, %al
    orb $2, %al
    outb %al, $0x92
    /* page tables: 0x1000 -> 0x2000 -> 0x3000, 2 MiB at 0 for everybody */
    movw $0x1000, %di
    movl %edi, %eax
    xorl %eax, %eax
    movw $0x1000, %cx
    rep stosl
    movw $0x2007, 0x1000
    movw $0x3007, 0x2000
    movw $0x0087, 0x3000
    lgdtl gdtr
    movl $0x220, %eax          /* PAE, OSFXSR */
    movl %eax, %cr4
    movl $0x1000, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx     /* EFER: SCE, LME */
    rdmsr
    orl $0x101, %eax
    wrmsr
    movl $0x80000003, %eax     /* PG, MP, PE */
    movl %eax, %cr0
    ljmp $0x08, $long
    .code64
long:
    movw $0x10, %ax
    movw %ax, %ss
    movw %ax, %ds
    movl $0x7c00, %esp
    /* vector 6 at 0x4060 */
    movl $(0x00080000), %eax
    movw $ud, %ax
    movl %eax, 0x4060
    movl $0x8e00, 0x4064
    lidt idtr
    xorl %eax, %eax
    cpuid
    rdtsc
    ud2
    cmpb $0x55, %bl
    jne hang
    movl $0xc0000081, %ecx     /* STAR: kernel 0x08 */
    xorl %eax, %eax
    movl $0x8, %edx
    wrmsr
    incl %ecx                  /* LSTAR */
    movl $done, %eax
    xorl %edx, %edx
    wrmsr
    pushq $0x1b
    pushq $0x7800
    pushq $2
    pushq $0x23
    pushq $user
    iretq
user:
    movl $7, %eax
    movd %eax, %xmm0
    paddd %xmm0, %xmm0
    movd %xmm0, %eax
    cmpl $14, %eax
    jne hang
    syscall
hang:
    jmp hang
ud:
    movb $0x55, %bl
    addq $2, (%rsp)
    iretq
done:
    movb $0x10, %al
    outb %al, $0xf4
    jmp hang
    .balign 8
gdt:
    .quad 0
    .quad 0x00209a0000000000
    .quad 0x0000920000000000
    .quad 0x0000f20000000000
    .quad 0x0020fa0000000000
gdtr:
    .word gdtr - gdt - 1
    .long gdt
idtr:
    .word 0xfff
    .quad 0x4000
