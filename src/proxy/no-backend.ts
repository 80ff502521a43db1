/** Why a client is not served while there is no container. */
export const NO_BACKEND = 'no container to forward to'
