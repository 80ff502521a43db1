import { execa, execaSync } from 'execa'

/** Makes the root folder of a minimal Debian, of the release and from the mirror of this machine. Needs root. */
export async function makeDebianRoot(folder: string): Promise<void> {
  const [mirror = '', suite = ''] = execaSync('apt-get', [
    'indextargets',
    '--format',
    '$(SITE) $(RELEASE)',
    'Created-By: Packages',
  ]).stdout.split(/\s/)
  await execa('debootstrap', ['--variant=minbase', suite, folder, mirror], {
    maxBuffer: 64 * 1024 * 1024,
  })
}
