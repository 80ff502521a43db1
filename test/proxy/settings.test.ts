import t from 'tap'
import { checkEnvironment, readSettings } from '../../src/proxy/settings.js'

t.test(
  'a mistyped variable is refused, and those that programs set for each other are not',
  async (t) => {
    for (const read of [readSettings, checkEnvironment]) {
      t.throws(() => read({ DOCKER_PROXY_ENGIN: 'native' }), {
        code: 'EBADSETTING',
        message:
          /^unknown setting DOCKER_PROXY_ENGIN in the environment: expected DOCKER_PROXY_ISOLATION, DOCKER_PROXY_ON_DEMAND, /,
      })
      t.doesNotThrow(() =>
        read({
          DOCKER_PROXY_RUN_DIR: '/x',
          DOCKER_PROXY_COMMAND: 'docker-proxy',
          DOCKER_PROXY_STATUS_SOCKET: '/x/socket',
          DOCKER_PROXY_ISOLATION: 'process',
          DOCKER_PUBLISH_HOST: 'unix:///x',
        }),
      )
    }
  },
)
