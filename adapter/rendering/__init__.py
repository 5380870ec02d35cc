"""From a page and its alerts to the words that a phone says.

`templates`: a voice template, compiled at load. `linting`: what is wrong with one. `render`:
template and context -> parameters, at the last moment before a call. `views`, `environment`: what a
template sees, and can do. `repairs`: parameters that the vendor takes, whatever the alerts hold.
`speech`: single phrases said aloud.

Pure code: `now` comes in. Nothing raises over alert data: at night a poor text beats no call.
"""
