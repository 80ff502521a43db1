import t from 'tap'
import { ownProcess } from '../lib/target.js'
import { udpShortageSuite } from './suites/udp-shortage.js'

udpShortageSuite(t, ownProcess)
