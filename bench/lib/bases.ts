/** The peers that all others are compared with: Docker's docker-proxy, and no proxy at all. */
export const BASES = ['docker-proxy', 'direct'] as const
