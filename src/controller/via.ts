/** How connections from other hosts reach the container: through a proxy, or by the kernel's address translation, as for the Docker Engine's ports. */
export const VIA = ['proxy', 'nat'] as const
export type Via = (typeof VIA)[number]
