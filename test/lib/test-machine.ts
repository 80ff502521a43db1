import { existsSync } from 'node:fs'

/** Whether this machine is for tests of services alone: scripts/test-vm.sh makes this file in its virtual machine. */
export const isTestMachine =
  existsSync('/run/docker-proxy-test-machine') && existsSync('/run/systemd/system')
