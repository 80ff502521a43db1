/*
 * Which folder of src/ may import which: downwards only, and never in a circle. Run by `npm run check`; the drawing is in CONTRIBUTING.md.
 */

/** Each folder, and the other folders that its files may import. */
const LAYERS = {
  cli: [
    'daemon',
    'demo',
    'installer',
    'api',
    'controller',
    'supervisor',
    'proxyd',
    'ports',
    'proxy',
    'docker',
  ],
  demo: ['controller', 'ports'],
  installer: [],
  daemon: ['metrics', 'api', 'controller', 'supervisor', 'proxyd', 'proxy', 'docker'],
  metrics: ['api', 'controller', 'status', 'ports', 'proxy'],
  api: ['controller', 'ports'],
  controller: ['supervisor', 'proxyd', 'status', 'ports', 'proxy', 'docker'],
  supervisor: ['status', 'ports', 'proxy'],
  proxyd: ['status', 'proxy'],
  ports: ['proxy'],
  status: ['proxy'],
  proxy: [],
  docker: [],
  log: [],
  memory: [],
  linux: [],
}

/** Imported by every folder above linux/. */
const BASE = ['log', 'memory', 'linux']
/** Files without imports of their own, apart from types of linux/: the vocabulary that all folders share. */
const SHARED_FILES = [
  'deferred',
  'duration',
  'exit-codes',
  'ports/host-port',
  'printable',
  'ssh',
  'turns',
  'version',
]

const ENTRY_POINTS =
  '^src/(docker-(proxy|proxyd|publish|publish-shared)|start|program-loader)\\.ts$'

/** A file that is in no folder of LAYERS. */
const UNKNOWN_PLACE = {
  path: '^src/',
  pathNot: [
    `^src/(${Object.keys(LAYERS).join('|')})/`,
    `^src/(${SHARED_FILES.join('|')})\\.ts$`,
    ENTRY_POINTS,
  ],
}

const allowedFolders = (layer) => [
  layer,
  ...LAYERS[layer],
  ...(layer === 'linux' ? [] : BASE.filter((base) => base !== layer)),
]

const layerRules = Object.keys(LAYERS).map((layer) => ({
  name: `imports-of-${layer}`,
  comment: `src/${layer} may import only: ${allowedFolders(layer).join(', ')}`,
  severity: 'error',
  from: { path: `^src/${layer}/` },
  to: {
    path: '^src/',
    pathNot: [
      `^src/(${allowedFolders(layer).join('|')})/`,
      ...(layer === 'linux' ? [] : [`^src/(${SHARED_FILES.join('|')})\\.ts$`]),
    ],
  },
}))

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'A cycle hides which file depends on which; types count as well.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-imports-of-entry-points',
      comment: 'Entry points only wire.',
      severity: 'error',
      from: {},
      to: { path: ENTRY_POINTS },
    },
    ...['from', 'to', 'orphan'].map((side) => ({
      name: 'no-unknown-places',
      comment: 'A new folder of src/ needs a line in LAYERS.',
      severity: 'error',
      from:
        side === 'to'
          ? { path: '^src/' }
          : { ...UNKNOWN_PLACE, ...(side === 'orphan' && { orphan: true }) },
      to: side === 'to' ? UNKNOWN_PLACE : side === 'from' ? { path: '^src/' } : {},
    })),
    {
      name: 'no-imports-by-shared-files',
      comment: 'Shared files may import only types of linux/.',
      severity: 'error',
      from: { path: `^src/(${SHARED_FILES.join('|')})\\.ts$` },
      to: { path: '^src/', pathNot: '^src/linux/' },
    },
    {
      name: 'no-imports-of-tests',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|bench)/' },
    },
    ...layerRules,
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // Type-only imports count as well.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
  },
}
