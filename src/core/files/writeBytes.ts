/**
 * Bytes of one write. For a longer write the kernel allocates larger pages of its cache, which is many times slower on a
 * virtual machine that returns free memory to its host.
 */
export const writeBytes = 256 * 1024;
