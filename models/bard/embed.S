/* The bytes of the model that comes with Hearth, as they are in its file, on a page boundary so that
 * they can be read like a mapped file. The build gives HEARTH_BARD_FILE and builds this only when
 * that file exists (then HEARTH_HAVE_BARD is defined in C):
 *
 *     extern const unsigned char hearth_bard_begin[], hearth_bard_end[];
 */
        .section .rodata.hearth_bard, "a", %progbits
        .global hearth_bard_begin
        .global hearth_bard_end
        .balign 4096
hearth_bard_begin:
        .incbin HEARTH_BARD_FILE
hearth_bard_end:
        .byte 0
        .section .note.GNU-stack, "", %progbits
