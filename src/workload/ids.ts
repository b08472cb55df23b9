/**
 * The container's user namespace. Its user n is user {@link firstId} + n of the VM, and its groups likewise, so that the container's
 * root is nobody there: users of the VM's own have 16-bit numbers. Files of the image get the VM's numbers when a layer is
 * converted; drives keep the container's numbers, and are mounted with a mapping.
 */
export const firstId = 2 ** 16;

/** How many users and groups the container has, from 0. The kernel's 32-bit numbers end below 2^32 - 1, which stands for none. */
export const idCount = 2 ** 32 - 1 - firstId;
