import { execa } from 'execa'
import t from 'tap'

t.test('the package has the programs, the docs, and no sources', async (t) => {
  // Scripts would build the programs again, while other tests use them.
  const { stdout } = await execa('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'])
  const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }]
  const paths = files.map(({ path }) => path)
  for (const path of [
    ...['docker-proxy', 'docker-proxyd', 'docker-proxyd-start', 'docker-publish'].map(
      (program) => `dist/${program}`,
    ),
    ...['docs/docker-publish.md', 'docs/limits.md', 'README.md', 'LICENSE', 'CHANGELOG.md'],
  ]) {
    t.ok(paths.includes(path), path)
  }
  t.same(
    paths.filter((path) => /^(src|test|bench)\//.test(path)),
    [],
  )
})
