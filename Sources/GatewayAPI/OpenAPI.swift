/// The contract, `openapi/openapi.yaml`, as it was when this program was built.
package enum OpenAPI {
    package static var document: [UInt8] { PackageResources.openapi_yaml }
}
