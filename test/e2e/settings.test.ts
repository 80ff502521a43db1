import t from 'tap'
import { ownProcess } from '../lib/target.js'
import { settingsSuite } from './suites/settings.js'

settingsSuite(t, ownProcess)
